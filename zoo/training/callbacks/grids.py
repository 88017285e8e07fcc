"""Grids of what a generator makes of latents that stay the same."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.random import forked_random
from zoo.inference.dataset import modes_of
from zoo.inference.images import grid
from zoo.training.callbacks.base import evaluation_mode

MOST = 10_000
"""Pictures of a grid, which are made together."""


class FixedGrid:
    """Draws a grid of the same latents each time; a conditional GAN gets a column per class.

    Args:
        name: of the callback, for sentences.
        rows: rows of the grid.
        columns: columns of an unconditional grid.
        max_classes: columns of a conditional one at most.
        seed: of the latents.
        scale: whole factor by which pixels are repeated; None shows small images at 64 pixels.

    Raises:
        ZooError: the grid is too large.
    """

    def __init__(
        self,
        name: str,
        rows: int,
        columns: int,
        max_classes: int,
        seed: int,
        scale: int | None = None,
    ) -> None:
        if rows * max(columns, max_classes) > MOST:
            raise ZooError(
                f"callbacks.{name}: rows={rows} by columns={columns} (max_classes={max_classes}) "
                f"are more than {MOST:,} pictures."
            )
        self.rows, self.columns, self.max_classes = rows, columns, max_classes
        self.seed, self.scale = seed, scale

    def draw(self, pl_module: Any) -> Image.Image:
        """The grid of what the generator makes now, with the names of the classes above it."""
        images, labels = self._sample(pl_module)
        names = pl_module.data.get("class_names") or list(map(str, range(self.max_classes)))
        columns = self.columns if labels is None else len(labels) // self.rows
        heads = [names[i] for i in labels[:columns].tolist()] if labels is not None else []
        modes = modes_of(pl_module.data)
        return grid(images, columns, heads=heads, scale=self.scale, modes=modes)

    def _sample(self, pl_module: Any) -> tuple[Tensor, Tensor | None]:
        """Images from the averaged generator, in eval mode; training's randomness is untouched."""
        network = pl_module.sampled_generator
        labels = None
        number = self.rows * self.columns
        if network.num_classes:
            shown = min(network.num_classes, self.max_classes)
            labels = torch.arange(shown, device=pl_module.device).repeat(self.rows)
            number = len(labels)
        random = torch.Generator().manual_seed(self.seed)
        z = network.sample_latent(number, generator=random)
        if labels is not None:  # one latent a row: classes differ, the style stays
            z = z[: self.rows].repeat_interleave(number // self.rows, 0)
        # Some networks draw noise inside.
        with evaluation_mode(network), torch.no_grad(), forked_random():
            torch.manual_seed(self.seed)
            images = network(z, labels)
        return images, labels
