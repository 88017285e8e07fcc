"""Loaders of batches from memory, which index one tensor instead of using worker processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.data.sampler import BalancedSampler, EndlessSampler

Batch = tuple[Tensor, Tensor]


class EndlessLoader(ABC):
    """A loader of endless random batches that can be resumed at any image.

    Each iteration over the loader yields `len(loader)` batches and continues where the previous
    one ended. A batch holds the images of `steps` consecutive updates with `batch_size` images
    each, over all processes. This process gets its share, `batch_size / world_size` images of
    every update, in the order of the updates.

    Args:
        batch_size: the number of images in one update, over all processes.
        steps: the number of updates whose images form one batch (`d_steps`).
        flip: whether to mirror each image left-right with probability 1/2.
        position: the number of images consumed so far, over all processes.
        rank: the index of this process.
        world_size: the number of processes.
        repeated: the number of batches, from the first on, to repeat over and over; None to use
            all images.

    Attributes:
        position: as above, advanced with every batch.
    """

    def __init__(
        self,
        batch_size: int = 64,
        steps: int = 1,
        flip: bool = False,
        position: int = 0,
        rank: int = 0,
        world_size: int = 1,
        repeated: int | None = None,
    ) -> None:
        if batch_size < 1 or steps < 1:
            raise ZooError(
                f"batch_size={batch_size} and d_steps={steps} must be 1 or more: a batch needs "
                "images."
            )
        if batch_size % world_size:
            raise ZooError(
                f"datamodule.batch_size={batch_size} counts the images of all {world_size} "
                f"processes together and must be a multiple of {world_size}."
            )
        self.batch_size, self.steps, self.flip = batch_size, steps, flip
        self.position = position
        self.rank, self.world_size = rank, world_size
        self.repeated = repeated

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of images in one pass."""

    @abstractmethod
    def _batch(self, position: int) -> Batch:
        """Return this process's share of the batch that starts at `position`."""

    def __len__(self) -> int:
        """Return the number of whole batches in one pass, but at least 1."""
        return max(1, self.size // (self.batch_size * self.steps))

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(len(self)):
            images = self.batch_size * self.steps
            whole = self.repeated and self.repeated * images
            batch = self._batch(self.position % whole if whole else self.position)
            self.position += images
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state: the data module, which counts images trained on, has the position.

        Because of this method, Lightning considers the loader resumable and does not warn.
        """
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:  # noqa: B027
        """Do nothing, since the state is empty."""


class TrainLoader(EndlessLoader):
    """A loader of endless random batches of a data set in memory.

    Args:
        images: (N, C, H, W) uint8, possibly memory-mapped.
        labels: (N,) int64.
        index: the rows to draw from, int64; None for all.
        seed: the seed of the order and the flips.
        class_balanced: whether to draw the class of each image first, all equally likely.
        batch_size, steps, flip, position, rank, world_size, repeated: see `EndlessLoader`.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        index: Tensor | None = None,
        batch_size: int = 64,
        steps: int = 1,
        flip: bool = False,
        seed: int = 0,
        position: int = 0,
        rank: int = 0,
        world_size: int = 1,
        class_balanced: bool = False,
        repeated: int | None = None,
    ) -> None:
        super().__init__(batch_size, steps, flip, position, rank, world_size, repeated)
        self.images, self.labels, self.index = images, labels, index
        if class_balanced:
            chosen = labels if index is None else take_rows(labels, index)
            self.sampler: EndlessSampler = BalancedSampler(chosen.cpu(), seed)
        else:
            self.sampler = EndlessSampler(len(images) if index is None else len(index), seed)

    @property
    def size(self) -> int:
        return self.sampler.size

    def _batch(self, position: int) -> Batch:
        local = self.batch_size // self.world_size
        if self.world_size == 1:
            rows, flips = self.sampler.take(position, self.batch_size * self.steps)
        else:
            first = position + self.rank * local
            shares = [
                self.sampler.take(first + step * self.batch_size, local)
                for step in range(self.steps)
            ]
            rows, flips = (torch.cat(column) for column in zip(*shares, strict=True))
        if self.index is not None:
            rows = self.index[rows]
        images = take_rows(self.images, rows)
        if self.flip:
            mirror_(images, flips)
        return images, take_rows(self.labels, rows)


class OrderedLoader:
    """A loader of all images of a split in order; the last batch may be smaller than the others."""

    def __init__(
        self, images: Tensor, labels: Tensor, index: Tensor | None = None, batch_size: int = 64
    ) -> None:
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.index = torch.arange(len(images)) if index is None else index

    def __len__(self) -> int:
        return -(-len(self.index) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        for start in range(0, len(self.index), self.batch_size):
            rows = self.index[start : start + self.batch_size]
            yield take_rows(self.images, rows), take_rows(self.labels, rows)


def take_rows(data: Tensor, rows: Tensor) -> Tensor:
    """Return a copy (B, ...) of the rows of `data` (N, ...) at `rows` (B,), int64 on the CPU."""
    if data.device.type != "cpu":
        return data.index_select(0, rows.to(data.device, non_blocking=True))
    # NumPy copies whole rows on one thread. Torch distributes even a single batch over all threads,
    # which is a hundred times slower when another process occupies a core that they wait for.
    return torch.from_numpy(data.numpy().take(rows.numpy(), axis=0))


def mirror_(images: Tensor, flips: Tensor) -> None:
    """Mirror images (B, C, H, W) left-right in place where `flips` (B,), on the CPU, is True."""
    rows = flips.nonzero().squeeze(1)
    if images.device.type != "cpu":
        rows = rows.to(images.device, non_blocking=True)
        images[rows] = images[rows].flip(-1)
        return
    pixels, chosen = images.numpy(), rows.numpy()
    pixels[chosen] = pixels[chosen, :, :, ::-1]
