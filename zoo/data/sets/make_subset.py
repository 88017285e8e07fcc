"""Make the embedded MNIST subset: `python -m zoo.data.sets.make_subset --data-dir DIR`.

DIR holds the official files as `MNIST/raw/*-ubyte`. Two PNG mosaics are written next to this file:
10,000 images of the training part and 2,000 of the test part, 28x28 each and 100 per row. The
classes alternate, so that the label of image i is i mod 10 and need not be stored. The images of
each class are evenly spaced in the official order, which covers all of its writers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from zoo.data.sets.mnist_subset import CLASSES, FILES

SIZES = {"train": 10_000, "test": 2_000}
COLUMNS = 100


def choose(labels: Tensor, size: int) -> Tensor:
    """Return the rows of a class-balanced subset, int64 (size,), in which the classes alternate."""
    per_class = size // CLASSES
    columns = []
    for label in range(CLASSES):
        rows = (labels == label).nonzero().squeeze(1)
        columns.append(rows[torch.arange(per_class) * len(rows) // per_class])
    return torch.stack(columns, dim=1).flatten()


def to_mosaic(images: Tensor) -> Tensor:
    """Arrange images (N, 28, 28) in one mosaic (28 N / 100, 2800).

    `mnist_subset.from_mosaic` is the inverse.
    """
    return rearrange(images, "(row column) h w -> (row h) (column w)", column=COLUMNS)


def main() -> None:
    from torchvision.datasets import MNIST

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", default="data", help="the folder that holds MNIST/raw")
    parser.add_argument(
        "--out", type=Path, default=FILES["train"].parent, help="the folder for the mosaics"
    )
    options = parser.parse_args()
    for split, file in FILES.items():
        source = MNIST(options.data_dir, train=split == "train")
        rows = choose(source.targets, SIZES[split])
        path = options.out / file.name
        Image.fromarray(to_mosaic(source.data[rows]).numpy()).save(path, optimize=True)
        print(f"{path}: {len(rows)} images, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
