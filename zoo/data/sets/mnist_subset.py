"""The subset of MNIST that comes with the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from zoo.data.base import DataModule, Split
from zoo.data.pixels import fit_digits
from zoo.registry import at_least, datamodule

FILES = {s: Path(__file__).with_name(f"mnist_subset_{s}.png") for s in ("train", "test")}
"""The mosaics written by `make_subset`, in which the classes alternate."""
CLASSES = 10
SIDE = 28


def from_mosaic(mosaic: Tensor) -> Tensor:
    """Cut a mosaic (28 rows, 28 columns) into its images (N, 28, 28), row by row."""
    return rearrange(mosaic, "(row h) (column w) -> (row column) h w", h=SIDE, w=SIDE)


def read(split: Split) -> tuple[Tensor, Tensor]:
    """Read the embedded images (N, 1, 28, 28) uint8 and labels (N,) int64 of "train" or "test"."""
    with Image.open(FILES[split]) as picture:
        images = from_mosaic(torch.from_numpy(np.array(picture)))
    return images.unsqueeze(1), torch.arange(len(images)) % CLASSES


@datamodule("mnist_subset")
class MNISTSubset(DataModule):
    """12,000 real MNIST digits that come with the zoo and need no download.

    There are 10,000 images of the official training part and 2,000 of the test part, equally many
    of every class. A border of zeros extends them from 28x28 to 32x32.

    Paper: LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document
    recognition.
    """

    features: ClassVar[str | None] = "mnist"

    def __init__(
        self,
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 32,
        batch_size: Annotated[int, at_least(1)] = 64,
        train_val_test_split: list[Annotated[int, at_least(0)]] = [10000, 0, 2000],  # noqa: B006
        flip: bool = False,
        class_balanced: bool = False,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            "mnist_subset",
            image_size=image_size,
            channels=1,
            class_names=[str(digit) for digit in range(CLASSES)],
            batch_size=batch_size,
            flip=flip,
            train_val_test_split=train_val_test_split,
            class_balanced=class_balanced,
            seed=seed,
            data_dir=data_dir,
        )

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        images, labels = read(split)
        return fit_digits(images, self.image_size), labels
