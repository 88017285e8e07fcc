"""Grids of samples during training, always made from the same latents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from zoo.inference.images import write_png
from zoo.registry import at_least, callback
from zoo.training.callbacks.base import Recurring
from zoo.training.callbacks.grids import FixedGrid
from zoo.training.callbacks.logs import log_picture


@callback("samples")
class SampleGrid(Recurring):
    """Writes grids of samples from the same latents each time, `samples/images_NNNNNNNNN.png`.

    A conditional GAN gets one column per class, with its name, for the first `max_classes` classes.

    Args:
        folder: The run's folder.
        every_n_epochs: Write a grid at the end of every n-th epoch, and always at the start (unless
            the run resumes and has grids already) and at the end of the training.
        every_n_images: Write a grid whenever n more real images have been seen; null not to.
        rows: The number of rows.
        columns: The number of columns of an unconditional grid.
        max_classes: The largest number of columns of a conditional grid.
        seed: The seed of the latents.
    """

    def __init__(
        self,
        folder: str,
        every_n_epochs: Annotated[int, at_least(1)] = 1,
        every_n_images: Annotated[int, at_least(1)] | None = None,
        rows: Annotated[int, at_least(1)] = 8,
        columns: Annotated[int, at_least(1)] = 8,
        max_classes: Annotated[int, at_least(1)] = 10,
        seed: int = 0,
    ) -> None:
        self.grid = FixedGrid("samples", rows, columns, max_classes, seed)
        self.folder = Path(folder) / "samples"
        self.every_n_epochs = every_n_epochs
        self.every_n_images = every_n_images
        self.last: Path | None = None

    def summary(self) -> dict[str, Any]:
        return {} if self.last is None else {"images": self.last}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        if not self._seen or not any(self.folder.glob("images_*.png")):
            self.write(trainer, pl_module)

    def act(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.write(trainer, pl_module)

    @rank_zero_only
    def write(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write a grid of images from the current generator, and log it."""
        path = self.folder / f"images_{pl_module.images_seen:09d}.png"
        if path == self.last:
            return
        picture = self.grid.draw(pl_module)
        self.last = write_png(picture, path)
        log_picture(trainer, "samples", picture)
