"""Compare the input pipeline with torchvision's: images/s from memory and from a JPEG folder."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

import zoo.registry as registry
from zoo.data.loader import TrainLoader
from zoo.data.pixels import to_float

SIZE, BATCH = 32, 64


class TorchvisionLike(Dataset):
    """Images in memory, converted to PIL images and then to tensors, as in torchvision's MNIST."""

    def __init__(self, images: torch.Tensor, flip: bool) -> None:
        self.images = images
        flipping = [transforms.RandomHorizontalFlip()] if flip else []
        self.transform = transforms.Compose(
            [*flipping, transforms.ToTensor(), transforms.Normalize([0.5], [0.5])]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[index, 0].numpy(), mode="L")), 0


def endless(loader: Any) -> Iterator[Any]:
    """Iterate over the batches of `loader` endlessly."""
    return itertools.chain.from_iterable(itertools.repeat(loader))


def from_memory(flip: bool) -> dict[str, Callable[[], object]]:
    """Return functions of torchvision and of the zoo that load 64 images of 32x32 in [-1, 1]."""
    images = torch.randint(0, 256, (10_000, 1, SIZE, SIZE), dtype=torch.uint8)
    theirs = endless(DataLoader(TorchvisionLike(images, flip), BATCH, shuffle=True, drop_last=True))
    labels = torch.zeros(len(images), dtype=torch.int64)
    ours = endless(TrainLoader(images, labels, batch_size=BATCH, flip=flip))
    return {
        "torchvision in a DataLoader": lambda: next(theirs),
        "zoo": lambda: to_float(next(ours)[0]),
    }


def write_pictures(folder: Path, count: int) -> None:
    """Write random JPEGs of 32x32 in two classes."""
    pixels = torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8).numpy()
    for index, picture in enumerate(pixels):
        place = folder / f"class{index % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place / f"{index}.jpg")


def folder_rates(root: Path, count: int, rounds: int = 5) -> dict[str, float]:
    """Measure the images/s of an epoch over a folder of JPEGs, in torchvision and in the zoo.

    Args:
        root: an empty folder to work in.
        count: the number of images.
        rounds: the number of rounds, over which medians are taken.

    Returns:
        The images/s of torchvision with two workers, and of the zoo in the first and in later
        epochs.
    """
    write_pictures(root / "pictures", count)
    for name in (_torchvision, _zoo):  # warms up the decoders and the disk cache
        name(root, -1, count)
    found: dict[str, list[float]] = {}
    for turn in range(rounds):
        order = (_torchvision, _zoo) if turn % 2 else (_zoo, _torchvision)
        for contender in order:
            for name, rate in contender(root, turn, count).items():
                found.setdefault(name, []).append(rate)
    return {name: statistics.median(found[name]) for name in FOLDER}


FOLDER = ("torchvision ImageFolder, 2 workers", "zoo, first epoch", "zoo, later epochs")


def _torchvision(root: Path, turn: int, count: int) -> dict[str, float]:
    transform = transforms.Compose(
        [
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )
    pictures = ImageFolder(str(root / "pictures"), transform)
    return {FOLDER[0]: count / _epoch(DataLoader(pictures, BATCH, shuffle=True, num_workers=2))}


def _zoo(root: Path, turn: int, count: int) -> dict[str, float]:
    start = time.perf_counter()
    data = registry.create(
        "datamodule",
        "image_folder",
        folder=str(root / "pictures"),
        image_size=SIZE,
        cache_dir=str(root / f"cache{turn}"),
    )
    data.setup()
    ours = data.train_dataloader()
    trained = len(ours) * BATCH
    first = time.perf_counter() - start + _epoch(ours)
    later = statistics.median(_epoch(ours) for _ in range(5))
    return {FOLDER[1]: trained / first, FOLDER[2]: trained / later}


def _epoch(loader: Any) -> float:
    start = time.perf_counter()
    for images, _ in loader:
        if images.dtype == torch.uint8:
            to_float(images)
    return time.perf_counter() - start
