"""Forward passes of G and D in a training step, including augmentations and regularizer hooks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.regularizer import Pass, Regularizer
from zoo.contracts.update import widen
from zoo.core.errors import ZooError
from zoo.layers.moving import share_into
from zoo.layers.precision import full_precision
from zoo.layers.shapes import pack
from zoo.layers.weights import cached_weights, spectral_layers


class Passes:
    """Makes images with G and scores them with D, for the step and, through `Update`, for methods.

    Args:
        generator, discriminator: The networks.
        regularizers: Their hooks may replace latents, wrap D, or make it see packs of images.
        augmentations: Applied, in this order, to all images that D sees.
        accumulate: The number of pieces that the batch of an update is split into. Each pass is
            over one piece.

    Attributes:
        packs: How many images D sees as one.
        moves_latents: The regularizers that replace the drawn latents; at most one.
        shared_weights: A context in which derived weights are computed once for all passes of an
            update: those of D, and with several pieces the spectral norms of G. (With a single pass
            of G, caching would only keep them in memory longer.)
        watchers: The augmentations that observe D's updates.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        regularizers: Sequence[Regularizer],
        augmentations: Sequence[Augmentation],
        accumulate: int = 1,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.augmentations = tuple(augmentations)
        self.packs = packs_of(regularizers)
        self.moves_latents = movers_of(regularizers)
        self._replaces_reals = [
            a for a in self.augmentations if _overrides(a, Augmentation, "reals")
        ]
        self.watchers = [a for a in self.augmentations if _overrides(a, Augmentation, "observe")]
        self._mixes = discriminator.mixes_images  # looked up once, since it walks all modules
        self._score: Pass = discriminator.outputs
        for wrapper in (r for r in regularizers if r.overrides("wrap_discriminator")):
            self._score = functools.partial(wrapper.wrap_discriminator, self._score)
        share_into(accumulate, generator, discriminator)
        norms = spectral_layers(generator) if accumulate > 1 else []
        self.shared_weights = cached_weights(discriminator, *norms)
        self._d_parameters = [p for p in discriminator.parameters() if p.requires_grad]
        self.synthesize: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]] = self._synthesize

    def generate(self, n: int, labels: Tensor | None = None) -> GeneratorOutput:
        """Make `n` images with labels (n,), with a graph if gradients are enabled."""
        z = self.generator.sample_latent(n)
        if self.moves_latents:
            with self.frozen_discriminator():
                for method in self.moves_latents:
                    z = method.latents(z, labels, self._score_latents)
        images, w = self.synthesize(z, labels)
        return GeneratorOutput(images, z, w, labels)

    def discriminate(
        self,
        images: Tensor,
        labels: Tensor | None,
        augmented: bool = True,
        precise: bool = False,
    ) -> DiscriminatorOutput:
        """Return the output of D, with scores in at least fp32.

        Args:
            images: Images (N, C, H, W) in [-1, 1].
            labels: Labels (N,), int64, or None.
            augmented: Whether to apply the augmentations first.
            precise: Whether to compute the whole pass without autocast, as a penalty on its
                gradient requires.
        """
        with full_precision(images.device) if precise else nullcontext():
            if precise:
                images = widen(images)
            if augmented:
                images = self.augment(images)
            if self.packs > 1 and images.shape[1] == self.generator.channels:
                images = pack(images, self.packs)  # unless they were packed before
            output = self._score(images, labels)
        # Not `output._replace`, which torch 2.11 cannot compile if its result is returned.
        return DiscriminatorOutput(widen(output.scores), output.features, output.extra)

    def discriminate_both(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        randoms: Mapping[str, AbstractContextManager[object]],
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """Return the outputs of D for reals and for fakes, which share the same labels.

        Both are scored in one pass, unless D mixes the images of a batch, or a penalty
        differentiates a side's images or needs its random numbers recorded. That side is then
        scored in fp32.

        Args:
            real, fake: Images (N, C, H, W).
            labels: Labels (N,) of either side, or None.
            randoms: Contexts that record the random numbers of the pass over "real" or "fake".
        """
        differentiated = real.requires_grad or fake.requires_grad
        if not (self._mixes or differentiated or randoms):
            both = None if labels is None else torch.cat((labels, labels))
            images = torch.cat((real, fake.to(real.dtype)))
            return halves(self.discriminate(images, both))
        outputs = []
        for side, images in (("real", real), ("fake", fake)):
            recorder = randoms.get(side)
            with recorder or nullcontext():
                precise = images.requires_grad or recorder is not None
                outputs.append(self.discriminate(images, labels, precise=precise))
        return outputs[0], outputs[1]

    def augment(self, images: Tensor) -> Tensor:
        """Apply all augmentations to images (N, C, H, W)."""
        for augmentation in self.augmentations:
            images = augmentation(images)
        return images

    def reals(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the images that D's update treats as real."""
        for augmentation in self._replaces_reals:
            real = augmentation.reals(real, fake)
        return real

    @contextmanager
    def frozen_discriminator(self) -> Iterator[None]:
        """Return a context in which D's parameters take no gradient.

        Contexts may be nested: D stays frozen until the outer one ends. This happens when latents
        are moved within the update of G.
        """
        frozen = [p for p in self._d_parameters if p.requires_grad]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    def _synthesize(self, z: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the images and the styles of latents."""
        if not self.generator.has_mapping:
            return self.generator(z, labels), z
        w = self.generator.map(z, labels)
        return self.generator.synthesize(w, labels), w

    def _score_latents(self, z: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        return self.discriminate(self.synthesize(z, labels)[0], labels)


def packs_of(regularizers: Sequence[Regularizer]) -> int:
    """Return how many images D sees as one.

    Raises:
        ZooError: More than one regularizer packs images.
    """
    sizes = [r.packs for r in regularizers if r.packs > 1]
    if len(sizes) > 1:
        raise ZooError(f"only one regularizer can pack images for D, and {len(sizes)} do.")
    return sizes[0] if sizes else 1


def movers_of(regularizers: Sequence[Regularizer]) -> list[Regularizer]:
    """Return the regularizers that replace the drawn latents: none or one.

    Raises:
        ZooError: There are several, so that each would undo what the others did.
    """
    movers = [r for r in regularizers if r.overrides("latents")]
    if len(movers) > 1:
        raise ZooError(f"only one regularizer can move latents, and {len(movers)} do.")
    return movers


def halves(output: DiscriminatorOutput) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
    """Split D's output for a batch into those for its two halves."""
    scores, features = output.scores.chunk(2), output.features.chunk(2)
    extra = {name: value.chunk(2) for name, value in output.extra.items()}
    first, second = (
        DiscriminatorOutput(scores[i], features[i], {k: v[i] for k, v in extra.items()})
        for i in range(2)
    )
    return first, second


def _overrides(part: object, base: type, hook: str) -> bool:
    return getattr(type(part), hook, None) not in (None, getattr(base, hook))
