"""Latents refined by the discriminator: a sampler of the registry at work on a loaded model."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.sampler import Sampler, Scene
from zoo.core.errors import ZooError, listing
from zoo.core.random import seeded
from zoo.data.base import DataModule
from zoo.data.pixels import to_float
from zoo.inference.scores import as_trained
from zoo.inference.truncation import prior
from zoo.registry import REGISTRY, create_chosen, remake, spec_of

Choice = str | dict[str, Any]
"""A sampler's name, or its name and options: `{name: mh, steps: 100}`."""


def create_sampler(choice: Choice | Sampler) -> Sampler:
    """The sampler that is meant; one that is made already as it is.

    Raises:
        ZooError: there is none of this name, or it has no such option.
    """
    if isinstance(choice, Sampler):
        return choice
    nameless = f"refine={choice} has no name: write refine={{name: mh, steps: 100}}."
    made: Sampler = create_chosen("sampler", choice, nameless)
    return made


def in_words(choice: Choice | Sampler) -> str:
    """`mh steps=100`, as protocols tell it."""
    known = spec_of(create_sampler(choice))
    if known is None:
        return type(choice).__name__
    return " ".join([str(known["name"]), *(f"{k}={v}" for k, v in known["options"].items())])


class Refiner:
    """A sampler with the pair of networks that it works on: latents in, latents out.

    Args:
        choice: of the sampler.
        generator, discriminator: in eval mode, on one device.
        loss: `name` and `options` of D's loss, as a checkpoint tells it; None where it tells none.
        regularizers: likewise a list of all others that were in force: some change D's score for
            its loss.
        data: gives the data set that they were trained on.
        seed: of everything random.
        batch_size: images made at a time.

    Attributes:
        note: a sentence where D's scores do not mean what the sampler takes them for; else empty.

    Raises:
        ZooError: no such sampler, or a D that has no score for a single image.
    """

    def __init__(
        self,
        choice: Choice | Sampler,
        generator: Generator,
        discriminator: Discriminator,
        loss: dict[str, Any] | None,
        data: Any,
        seed: int = 0,
        batch_size: int = 64,
        regularizers: object = None,
    ) -> None:
        self.sampler = create_sampler(choice)
        if discriminator.channels != generator.channels:
            raise ZooError(
                f"refine needs a score for each image, and this discriminator sees packs of "
                f"{discriminator.channels // generator.channels} images at once."
            )
        self._discriminator = discriminator.requires_grad_(False)
        self._loss = remake("loss", loss["name"], loss["options"]) if loss else None
        head = getattr(discriminator, "head", None)  # whose losses may stand in the loss's place
        self._replaced = head is not None and head.replaces_loss
        self._outputs = as_trained(self._discriminator, regularizers, loss)
        self._data = data
        self.note = self._note(loss)
        random = seeded((seed + 2**61) % 2**63)  # another stream than the first latents'
        network = copy.deepcopy(generator).requires_grad_(False)  # the caller's stays as it is
        self.scene = Scene(
            draw=lambda n: generator.sample_latent(n, random).cpu(),
            images=lambda z, y: network(z, y).clamp(-1, 1),
            score=self._score,
            reals=self._reals,
            random=random,
            latent=prior(generator),
            num_classes=generator.num_classes,
            batch_size=batch_size,
            device=next(generator.parameters()).device,
        )

    def __call__(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Latents (N, dim) in place of these, for labels (N,)."""
        return self.sampler(self.scene, z, y)

    def _score(self, images: Tensor, y: Tensor | None) -> Tensor:
        labels = y if self._discriminator.num_classes else None
        scores = self._outputs(images, labels).scores
        ratio = self._ratio(scores)
        told = scores if ratio is None else ratio
        return told.flatten(1).mean(1) if told.dim() > 1 else told

    def _ratio(self, scores: Tensor) -> Tensor | None:
        """log p_data / p_G by these scores; None where loss or head have none."""
        return None if self._loss is None or self._replaced else self._loss.log_ratio(scores)

    def _note(self, loss: dict[str, Any] | None) -> str:
        if self.sampler.calibrates:
            return ""
        if self._ratio(next(self._discriminator.parameters()).new_zeros(1)) is not None:
            return ""
        # Where an option decides, the class has a property: it calibrates by some choice.
        able = REGISTRY.having("sampler", lambda sampler: bool(sampler.calibrates))
        under = f"the loss {loss['name'] if loss else 'unknown'!r}"
        if self._replaced:
            under = f"the head {type(self._discriminator.head).__name__}"
        return (
            f"scores of a discriminator under {under} are no density ratio: they are "
            "taken as they are, and what is sampled need not come nearer to the data; under "
            f"refine={listing(p.name for p in able)} real images calibrate them."
        )

    def _reals(self) -> tuple[Tensor, Tensor | None]:
        data: DataModule = self._data()
        held = next((s for s in ("val", "test") if data.size(s)), "train")
        images, labels = data.split(held)  # type: ignore[arg-type]
        images = images if images.is_floating_point() else to_float(images)
        return images, labels if self.scene.num_classes else None
