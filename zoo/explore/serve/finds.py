"""Latents that were found for pictures, from which the page goes on as from drawn ones."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.inference.load import LoadedGenerator
from zoo.inference.project import Projection
from zoo.inference.truncation import moves_styles

MOST_FINDS = 16
"""Kept at a time; the oldest is forgotten for one more."""


@dataclass
class Find:
    """What a picture was projected to.

    Args:
        model: the place of its model in the gallery.
        z: (1, latent_dim). Where the generator has styles it is the latent drawn at random that
            the search came from, so that all that moves latents moves it too.
        offset: (1, W), from the style of `z` to the one that was found; None without styles.
    """

    model: int
    z: Tensor
    offset: Tensor | None

    @classmethod
    @torch.no_grad()
    def of(cls, model: LoadedGenerator, at: int, found: Projection) -> Find:
        """The one picture's."""
        if found.space == "z":
            return cls(at, found.latents, None)
        device, labels = model.device, found.labels
        y = None if labels is None else labels.to(device)
        w = model.generator.map(found.origins.to(device), y).cpu()
        return cls(at, found.origins, found.latents - (w[:, 0] if w.dim() == 3 else w))

    def describe(self) -> dict[str, Any]:
        """Its numbers, as plain values."""
        given = {"z": self.z, "offset of the style": self.offset}
        return {name: value[0].tolist() for name, value in given.items() if value is not None}


class Finds:
    """The newest finds, each under a number."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Find] = OrderedDict()
        self._count = 0

    def keep(self, find: Find) -> int:
        """Its number."""
        self._count += 1
        self._kept[self._count] = find
        if len(self._kept) > MOST_FINDS:
            self._kept.popitem(last=False)
        return self._count

    def get(self, number: int, model: int) -> Find:
        """The find of a number, which was made with this model.

        Raises:
            ZooError: there is none, or it is another model's.
        """
        find = self._kept.get(number)
        if find is None:
            raise ZooError(
                f"found={number} is not kept, or no longer: the last {MOST_FINDS} are. Project the "
                "picture again."
            )
        if find.model != model:
            raise ZooError(
                f"found={number} is a latent of another model: project it with this one."
            )
        return find


@torch.inference_mode()
def moved_images(
    model: LoadedGenerator, z: Tensor, y: Tensor | None, truncation: float | None, offset: Tensor
) -> Tensor:
    """Images (N, C, H, W) in [-1, 1] of latents whose styles are moved by `offset` (1, W)."""
    generator, device = model.generator, model.device
    z, offset = z.to(device), offset.to(device)
    labels = None if y is None else y.to(device)
    if truncation is None:
        w = generator.map(z, labels)
    else:
        w = generator.truncate(z, labels, truncation)
        offset = offset * (truncation if moves_styles(generator) else 1.0)
    images = generator.synthesize(w + (offset[:, None] if w.dim() == 3 else offset), labels)
    return images.float().clamp(-1, 1).cpu()
