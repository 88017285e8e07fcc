"""Helpers for tests of data: random images, files in MNIST's format, picture files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from zoo.registry import create

GREY = np.full((8, 8, 3), 99, np.uint8)


def random_images(n: int, *shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)


def write_idx(path: Path, data: np.ndarray) -> None:
    """Write the idx format: two zeros, the type (8: unsigned byte), the dimensions, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, data.ndim]) + np.array(data.shape, ">i4").tobytes()
    path.write_bytes(header + data.astype(np.uint8).tobytes())


def write_digits(root: Path, name: str = "MNIST", train: int = 40, test: int = 20) -> dict:
    """Write a small data set in MNIST's format, in which the first pixel of an image is its index.

    Returns:
        The images and labels of the parts `train` and `t10k`.
    """
    parts = {}
    for part, size in (("train", train), ("t10k", test)):
        images = random_images(size, 28, 28, seed=size).numpy()
        images[:, 0, 0] = np.arange(size) % 256
        labels = np.arange(size) % 10
        write_idx(root / name / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(root / name / "raw" / f"{part}-labels-idx1-ubyte", labels)
        parts[part] = torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)
    return parts


def smooth(height: int = 24, width: int = 24) -> np.ndarray:
    """Return a picture (H, W, 3) of gradients: to the right, downwards, and to the left."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x // (width - 1), 255 * y // (height - 1)
    return np.stack([red, green, 255 - red], axis=-1).astype(np.uint8)


def save(path: Path, picture: np.ndarray | Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


def make_folder(root: Path) -> Path:
    """Write pictures of one colour each, at several depths and in several formats.

    There are three in the class `cat` and five in the class `dog`.
    """
    names = ["cat/0.png", "cat/1.jpg", "cat/deep/er/2.PNG", "dog/0.jpg", "dog/1.jpeg"]
    names += ["dog/2.bmp", "dog/Zürich 1.webp", "dog/x/3.tif"]
    for number, name in enumerate(names):
        save(root / name, np.full((16 + number, 20, 3), 30 * number, np.uint8))
    return root


def folder_data(folder: Path, tmp_path: Path, **options):
    options = {"image_size": 8, "cache_dir": str(tmp_path / "cache")} | options
    return create("datamodule", "image_folder", folder=str(folder), **options)


def damage(file: Path, kind: str) -> None:
    content = file.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}[kind])


def lay_out(root, names):
    """Write small pictures with these names, each in one shade of grey."""
    for number, name in enumerate(names):
        save(root / name, np.full((8, 8, 3), number, np.uint8))
    return root
