"""Grids of samples during training, from latents that stay the same."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.random import forked_random
from zoo.inference.dataset import modes_of
from zoo.inference.images import grid, write_png
from zoo.registry import at_least, callback
from zoo.training.callbacks.base import Recurring

MOST = 10_000
"""Pictures of a grid, which are made together."""


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
        if rows * max(columns, max_classes) > MOST:
            raise ZooError(
                f"callbacks.samples: rows={rows} by columns={columns} (max_classes={max_classes}) "
                f"are more than {MOST:,} pictures."
            )
        self.folder = Path(folder) / "samples"
        self.every_n_epochs = every_n_epochs
        self.every_n_images = every_n_images
        self.rows, self.columns, self.max_classes, self.seed = rows, columns, max_classes, seed
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
        images, labels = self._sample(pl_module)
        names = pl_module.data.get("class_names") or list(map(str, range(self.max_classes)))
        heads = (
            [names[i] for i in labels[: self._columns(labels)].tolist()]
            if labels is not None
            else []
        )
        picture = grid(images, self._columns(labels), heads=heads, modes=modes_of(pl_module.data))
        self.last = write_png(picture, path)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("samples", [picture], step=trainer.global_step)
            elif isinstance(logger, pl.loggers.TensorBoardLogger):
                from torchvision.transforms.functional import pil_to_tensor

                logger.experiment.add_image("samples", pil_to_tensor(picture), trainer.global_step)

    def _columns(self, labels: Tensor | None) -> int:
        return self.columns if labels is None else len(labels) // self.rows

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
        was_training = network.training
        network.eval()
        with torch.no_grad(), forked_random():  # some networks draw noise inside
            torch.manual_seed(self.seed)
            images = network(z, labels)
        network.train(was_training)
        return images, labels
