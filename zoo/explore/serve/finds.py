"""Latents that were found for pictures by projection, which the page uses like random ones."""

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
"""The most latents that are kept; a further one replaces the oldest."""


@dataclass
class Find:
    """The latent that was found for a picture.

    Args:
        model: the index of its model in the gallery.
        z: the latent (1, latent_dim). If the generator has styles, it is the random latent from
            which the search started, so that everything that moves latents applies to it too.
        offset: the difference (1, W) from the style of `z` to the style that was found; None
            without styles.
    """

    model: int
    z: Tensor
    offset: Tensor | None

    @classmethod
    @torch.no_grad()
    def of(cls, model: LoadedGenerator, at: int, projection: Projection) -> Find:
        """Create it from the projection of a single picture by the model at index `at`."""
        if projection.space == "z":
            return cls(at, projection.latents, None)
        device, labels = model.device, projection.labels
        y = None if labels is None else labels.to(device)
        w = model.generator.map(projection.origins.to(device), y).cpu()
        return cls(at, projection.origins, projection.latents - (w[:, 0] if w.dim() == 3 else w))

    def describe(self) -> dict[str, Any]:
        """Return its numbers as plain lists, for JSON."""
        tensors = {"z": self.z, "offset of the style": self.offset}
        return {name: value[0].tolist() for name, value in tensors.items() if value is not None}


class Finds:
    """The latest latents that were found, each with a number by which it is retrieved."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, Find] = OrderedDict()
        self._count = 0

    def keep(self, find: Find) -> int:
        """Store a latent and return its number."""
        self._count += 1
        self._kept[self._count] = find
        if len(self._kept) > MOST_FINDS:
            self._kept.popitem(last=False)
        return self._count

    def get(self, number: int, model: int) -> Find:
        """Return the latent with a number, which must belong to the model with index `model`.

        Raises:
            ZooError: there is no such latent, or it belongs to another model.
        """
        find = self._kept.get(number)
        if find is None:
            raise ZooError(
                f"found={number} is unknown: only the last {MOST_FINDS} latents are kept. Project "
                "the picture again."
            )
        if find.model != model:
            raise ZooError(
                f"found={number} is a latent of another model: project the picture with this one."
            )
        return find


@torch.inference_mode()
def moved_images(
    model: LoadedGenerator, z: Tensor, y: Tensor | None, truncation: float | None, offset: Tensor
) -> Tensor:
    """Generate images (N, C, H, W) in [-1, 1] from latents whose styles are shifted.

    Args:
        model: the model.
        z: the latents (N, latent_dim).
        y: the labels (N,), or None.
        truncation: the truncation, or None.
        offset: the shift (1, W) of the styles.
    """
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
