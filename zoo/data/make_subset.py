"""Makes the embedded MNIST subset: `python -m zoo.data.make_subset --data-dir DIR`.

DIR holds the official files as `MNIST/raw/*-ubyte`. Two PNG mosaics are written beside this file,
10,000 images of the training part and 2,000 of the test part, 28x28 each and 100 to a row. The
classes take turns, so that the label of image i is i mod 10 and needs no file. From every class
images are taken at even distances in the official order, which covers all of its writers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

FOLDER = Path(__file__).parent
FILES = {"train": FOLDER / "mnist_subset_train.png", "test": FOLDER / "mnist_subset_test.png"}
SIZES = {"train": 10_000, "test": 2_000}
CLASSES = 10
SIDE = 28
COLUMNS = 100


def choose(labels: Tensor, size: int) -> Tensor:
    """Rows of a class-balanced subset, int64 (size,): the classes take turns in it."""
    per_class = size // CLASSES
    columns = []
    for label in range(CLASSES):
        rows = (labels == label).nonzero().squeeze(1)
        columns.append(rows[torch.arange(per_class) * len(rows) // per_class])
    return torch.stack(columns, dim=1).flatten()


def to_mosaic(images: Tensor) -> Tensor:
    """Images (N, 28, 28) as one picture (28 N / 100, 2800)."""
    return rearrange(images, "(row column) h w -> (row h) (column w)", column=COLUMNS)


def from_mosaic(mosaic: Tensor) -> Tensor:
    """The inverse of `to_mosaic`."""
    return rearrange(mosaic, "(row h) (column w) -> (row column) h w", h=SIDE, w=SIDE)


def read(split: str) -> tuple[Tensor, Tensor]:
    """The embedded images (N, 1, 28, 28) uint8 and labels (N,) int64 of "train" or "test"."""
    with Image.open(FILES[split]) as picture:
        images = from_mosaic(torch.from_numpy(np.array(picture)))
    return images.unsqueeze(1), torch.arange(len(images)) % CLASSES


def main() -> None:
    from torchvision.datasets import MNIST

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default="data", help="holds MNIST/raw")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the pictures go")
    options = parser.parse_args()
    for split, file in FILES.items():
        source = MNIST(options.data_dir, train=split == "train")
        rows = choose(source.targets, SIZES[split])
        path = options.out / file.name
        Image.fromarray(to_mosaic(source.data[rows]).numpy()).save(path, optimize=True)
        print(f"{path}: {len(rows)} images, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
