"""Refine latents with the discriminator: apply a registered sampler to a loaded model."""

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
from zoo.registry import REGISTRY, create_chosen, name_of, remake, spec_of

Choice = str | dict[str, Any]
"""A sampler's name, or its name and options: `{name: mh, steps: 100}`."""


def create_sampler(choice: Choice | Sampler) -> Sampler:
    """Create the sampler that `choice` names; a `Sampler` is returned unchanged.

    Raises:
        ZooError: there is no sampler with this name, or it has no such option.
    """
    if isinstance(choice, Sampler):
        return choice
    nameless = f"refine={choice} has no name: write refine={{name: mh, steps: 100}}."
    sampler: Sampler = create_chosen("sampler", choice, nameless)
    return sampler


def in_words(choice: Choice | Sampler) -> str:
    """Describe a sampler for a protocol: `mh steps=100`."""
    spec = spec_of(create_sampler(choice))
    if spec is None:
        return type(choice).__name__
    return " ".join([str(spec["name"]), *(f"{k}={v}" for k, v in spec["options"].items())])


class Refiner:
    """A sampler together with a generator and a discriminator: maps latents to refined latents.

    Args:
        choice: the sampler.
        generator, discriminator: the networks, in eval mode on the same device.
        loss: `name` and `options` of D's loss as a checkpoint describes it; None if unknown.
        regularizers: descriptions of the regularizers used in training, since some of them change
            the scores that D's loss received; None if unknown.
        data: returns the data set that the networks were trained on.
        seed: the seed of everything random.
        batch_size: the number of images generated at a time.

    Attributes:
        note: a warning if D's scores are not what the sampler assumes; otherwise empty.

    Raises:
        ZooError: there is no such sampler, or D does not score single images.
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
                f"refine needs a score for each image, but this discriminator scores packs of "
                f"{discriminator.channels // generator.channels} images."
            )
        self._discriminator = discriminator.requires_grad_(False)
        self._loss = remake("loss", loss["name"], loss["options"]) if loss else None
        head = getattr(discriminator, "head", None)  # some heads replace the loss by their own
        self._replaced = head is not None and head.replaces_loss
        self._outputs = as_trained(self._discriminator, regularizers, loss)
        self._data = data
        self.note = self._note(loss)
        random = seeded((seed + 2**61) % 2**63)  # independent of the latents to be refined
        network = copy.deepcopy(generator).requires_grad_(False)  # leave the caller's unchanged
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
        """Return latents (N, dim) that replace `z`, for labels (N,)."""
        return self.sampler(self.scene, z, y)

    def _score(self, images: Tensor, y: Tensor | None) -> Tensor:
        """Return one value per image: the log density ratio if it is known, else D's score."""
        labels = y if self._discriminator.num_classes else None
        scores = self._outputs(images, labels).scores
        ratio = self._ratio(scores)
        values = scores if ratio is None else ratio
        return values.flatten(1).mean(1) if values.dim() > 1 else values

    def _ratio(self, scores: Tensor) -> Tensor | None:
        """Return log p_data / p_G by these scores; None if the loss or the head defines none."""
        return None if self._loss is None or self._replaced else self._loss.log_ratio(scores)

    def _note(self, loss: dict[str, Any] | None) -> str:
        """Return a warning if D's scores are not a density ratio and are not calibrated."""
        if self.sampler.calibrates:
            return ""
        if self._ratio(next(self._discriminator.parameters()).new_zeros(1)) is not None:
            return ""
        # If an option decides, `calibrates` is a property, which is truthy on the class.
        able = REGISTRY.having("sampler", lambda sampler: bool(sampler.calibrates))
        origin = f"the loss {loss['name'] if loss else 'unknown'!r}"
        if self._replaced:
            origin = f"the head {name_of(self._discriminator.head)}"
        return (
            f"the scores of a discriminator with {origin} are not a density ratio: they are used "
            "unchanged, and the refined images need not be closer to the data; with "
            f"refine={listing(p.name for p in able)}, real images calibrate the scores."
        )

    def _reals(self) -> tuple[Tensor, Tensor | None]:
        """Return real images in [-1, 1] and their labels, not used in training if possible."""
        data: DataModule = self._data()
        split = next((s for s in ("val", "test") if data.size(s)), "train")
        images, labels = data.split(split)  # type: ignore[arg-type]
        images = images if images.is_floating_point() else to_float(images)
        return images, labels if self.scene.num_classes else None
