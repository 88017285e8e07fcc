"""Grids of generated images, always made from the same latents."""

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
"""The most images in a grid, since all of them are in memory at the same time."""


class FixedGrid:
    """Draws grids of images made from the same latents; a conditional GAN gets a column per class.

    Args:
        name: The name of the callback, for messages.
        rows: The number of rows.
        columns: The number of columns of an unconditional grid.
        max_classes: The largest number of columns of a conditional grid.
        seed: The seed of the latents.
        scale: The integer factor by which images are enlarged; None enlarges small ones to 64
            pixels.

    Raises:
        ZooError: The grid is too large.
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
                f"are more than {MOST:,} images."
            )
        self.rows, self.columns, self.max_classes = rows, columns, max_classes
        self.seed, self.scale = seed, scale

    def draw(self, pl_module: Any) -> Image.Image:
        """Draw a grid of images from the current generator, with the classes' names above it."""
        images, labels = self._sample(pl_module)
        names = pl_module.data.get("class_names") or list(map(str, range(self.max_classes)))
        columns = self.columns if labels is None else len(labels) // self.rows
        headings = [names[i] for i in labels[:columns].tolist()] if labels is not None else []
        modes = modes_of(pl_module.data)
        return grid(images, columns, heads=headings, scale=self.scale, modes=modes)

    def _sample(self, pl_module: Any) -> tuple[Tensor, Tensor | None]:
        """Return images of the averaged generator and their labels.

        The random numbers of the training are not affected.
        """
        network = pl_module.sampled_generator
        labels = None
        number = self.rows * self.columns
        if network.num_classes:
            shown = min(network.num_classes, self.max_classes)
            labels = torch.arange(shown, device=pl_module.device).repeat(self.rows)
            number = len(labels)
        random = torch.Generator().manual_seed(self.seed)
        z = network.sample_latent(number, generator=random)
        if labels is not None:  # one latent per row, so that only the class changes along it
            z = z[: self.rows].repeat_interleave(number // self.rows, 0)
        # Some networks draw noise in their forward pass.
        with evaluation_mode(network), torch.no_grad(), forked_random():
            torch.manual_seed(self.seed)
            # Whatever can train on a batch can generate as many images, but maybe not more at once.
            trainer = pl_module.trainer
            batch_size = getattr(
                trainer.datamodule, "batch_size", number
            )  # none with plain loaders
            most = max(1, batch_size // trainer.world_size)
            given = (z.split(most),) if labels is None else (z.split(most), labels.split(most))
            images = torch.cat([network(*some) for some in zip(*given, strict=True)])
        return images, labels
