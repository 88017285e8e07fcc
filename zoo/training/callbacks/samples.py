"""Grids of samples during training, from latents that stay the same."""

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
    """Writes `samples/images_NNNNNNNNN.png`, of the same latents each time: one sees them form.

    A conditional GAN gets a column per class (the first `max_classes`), in order and named.

    Args:
        folder: the run's folder.
        every_n_epochs: a grid at the end of every n-th epoch, and always at the start and the end
            of a training; where one is continued there is one already.
        every_n_images: a grid whenever n more real images were seen; null for none.
        rows: rows of the grid.
        columns: columns of an unconditional grid.
        max_classes: columns of a conditional one at most.
        seed: of the latents.
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
        return {} if self.last is None else {"pictures": self.last}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        if not self._seen or not any(self.folder.glob("images_*.png")):
            self.write(trainer, pl_module)

    def act(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.write(trainer, pl_module)

    @rank_zero_only
    def write(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write a grid of what the generator makes now, and give it to loggers of images."""
        path = self.folder / f"images_{pl_module.images_seen:09d}.png"
        if path == self.last:
            return
        picture = self.grid.draw(pl_module)
        self.last = write_png(picture, path)
        log_picture(trainer, "samples", picture)
