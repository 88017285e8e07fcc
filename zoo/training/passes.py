"""Passes of G and D as the step makes them, with whatever the methods put around them."""

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
from zoo.contracts.update import full_precision, widen
from zoo.core.errors import ZooError
from zoo.layers.moving import share_into
from zoo.layers.shapes import pack
from zoo.layers.weights import cached_weights, spectral_layers


class Passes:
    """What the step, and the methods through `Update`, call to make images and to have them scored.

    Args:
        generator, discriminator: the networks.
        regularizers: whose hooks move latents, wrap D, or have it see packs of images.
        augmentations: applied in this order to whatever D sees.
        accumulate: pieces that the batch of an update is shared into; a pass is over one of them.

    Attributes:
        shared_weights: the context in which derived weights are computed once for all passes of an
            update: D's, and the spectral norms of G where it makes a pass for each piece. (For one
            pass they would only be kept longer than it needs them.)
        watchers: augmentations that look at D's updates.
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
        self._mixes = discriminator.mixes_images  # a property that walks all modules
        self._score: Pass = discriminator.outputs
        for wrapper in (r for r in regularizers if r.overrides("wrap_discriminator")):
            self._score = functools.partial(wrapper.wrap_discriminator, self._score)
        share_into(accumulate, generator, discriminator)
        norms = spectral_layers(generator) if accumulate > 1 else []
        self.shared_weights = cached_weights(discriminator, *norms)
        self._d_parameters = [p for p in discriminator.parameters() if p.requires_grad]
        self.synthesize: Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]] = self._synthesize

    def generate(self, n: int, labels: Tensor | None = None) -> GeneratorOutput:
        """`n` new images, with a graph to G's parameters unless gradients are off."""
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
        """What D says, scores in fp32; `precise`: also computed in fp32, for a penalty's gradient.

        Args:
            images: (N, C, H, W) in [-1, 1].
            labels: (N,) int64, or None.
            augmented: whether the augmentations come before.
        """
        with full_precision(images.device) if precise else nullcontext():
            if precise:
                images = widen(images)
            if augmented:
                images = self.augment(images)
            if self.packs > 1 and images.shape[1] == self.generator.channels:
                images = pack(images, self.packs)  # what D has seen before is packed already
            output = self._score(images, labels)
        # A new one: torch 2.11 compiles no `_replace` whose result leaves what it compiles.
        return DiscriminatorOutput(widen(output.scores), output.features, output.extra)

    def discriminate_both(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        randoms: Mapping[str, AbstractContextManager[object]],
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """What D says of reals and of fakes, under the same labels.

        One pass over both; separate passes where D mixes the images of a batch, and where a penalty
        comes back to one side: then in fp32, because it differentiates the images or shows D others
        under the same `randoms`.
        """
        differentiated = real.requires_grad or fake.requires_grad
        if not (self._mixes or differentiated or randoms):
            both = None if labels is None else torch.cat((labels, labels))
            images = torch.cat((real, fake.to(real.dtype)))
            return halves(self.discriminate(images, both))
        outputs = []
        for side, images in (("real", real), ("fake", fake)):
            kept = randoms.get(side)
            with kept or nullcontext():
                precise = images.requires_grad or kept is not None
                outputs.append(self.discriminate(images, labels, precise=precise))
        return outputs[0], outputs[1]

    def augment(self, images: Tensor) -> Tensor:
        """What images pass through before D."""
        for augmentation in self.augmentations:
            images = augmentation(images)
        return images

    def reals(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D's update takes as real images."""
        for augmentation in self._replaces_reals:
            real = augmentation.reals(real, fake)
        return real

    @contextmanager
    def frozen_discriminator(self) -> Iterator[None]:
        """Within it, D's parameters take no gradient; within another one, they still do not after.

        Latents move within the update of G, where D is frozen already.
        """
        held = [p for p in self._d_parameters if p.requires_grad]
        for parameter in held:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in held:
                parameter.requires_grad_(True)

    def _synthesize(self, z: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """Images and styles of latents."""
        if not self.generator.has_mapping:
            return self.generator(z, labels), z
        w = self.generator.map(z, labels)
        return self.generator.synthesize(w, labels), w

    def _score_latents(self, z: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        return self.discriminate(self.synthesize(z, labels)[0], labels)


def packs_of(regularizers: Sequence[Regularizer]) -> int:
    """How many images D sees as one.

    Raises:
        ZooError: two regularizers ask for packs.
    """
    asked = [r.packs for r in regularizers if r.packs > 1]
    if len(asked) > 1:
        raise ZooError(f"only one regularizer can pack images for D, and {len(asked)} do.")
    return asked[0] if asked else 1


def movers_of(regularizers: Sequence[Regularizer]) -> list[Regularizer]:
    """The regularizers that replace the latents that were drawn: at most one.

    Raises:
        ZooError: two do, so that neither would know what its latents became.
    """
    movers = [r for r in regularizers if r.overrides("latents")]
    if len(movers) > 1:
        raise ZooError(f"only one regularizer can move latents, and {len(movers)} do.")
    return movers


def halves(output: DiscriminatorOutput) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
    """What D said of the two halves of a batch."""
    scores, features = output.scores.chunk(2), output.features.chunk(2)
    extra = {name: value.chunk(2) for name, value in output.extra.items()}
    first, second = (
        DiscriminatorOutput(scores[i], features[i], {k: v[i] for k, v in extra.items()})
        for i in range(2)
    )
    return first, second


def _overrides(part: object, base: type, hook: str) -> bool:
    return getattr(type(part), hook, None) not in (None, getattr(base, hook))
