"""Reading training images from shards during training, in an order that can be resumed."""

from __future__ import annotations

import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from zoo.core.errors import ZooError, at_least
from zoo.data.loader import Batch, EndlessLoader, mirror_, take_rows
from zoo.data.picture_cache import decode_all
from zoo.data.sources.base import Part, Source
from zoo.data.value_range import ValueRange


class Window(NamedTuple):
    """Images that are held in memory and shuffled together.

    Args:
        start: the position of the first image, counted among those of this process.
        rows: their rows in the source, int64 (n,), in the order of training.
        flips: whether each image is mirrored, bool (n,).
    """

    start: int
    rows: Tensor
    flips: Tensor

    @property
    def stop(self) -> int:
        """The position after the last image."""
        return self.start + len(self.rows)


class Decoded(NamedTuple):
    """The images of a window, uint8 (n, C, H, W), and the source row of each."""

    images: Tensor
    rows: Tensor


class WindowSampler:
    """The endless order in which one process sees the images of its shards.

    In every pass the shards are shuffled and distributed so that each is read by one process,
    which reads its shards one after the other and shuffles the images within a window. The order
    depends only on the seed and the position, so that a run can be resumed anywhere.

    Args:
        groups: the rows of each shard, int64.
        seed: the seed of the order and the flips, 0 or more.
        window: the number of images that are shuffled together.
        rank: the index of this process.
        world_size: the number of processes.

    Raises:
        ZooError: there are fewer shards with images than processes, or the seed is negative.
    """

    def __init__(
        self, groups: list[Tensor], seed: int, window: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.groups = [group for group in groups if len(group)]
        if len(self.groups) < max(1, world_size):
            raise ZooError(
                f"There are {len(self.groups)} shards with training images, but each of "
                f"{world_size} processes needs at least one of its own: write more, smaller shards."
            )
        at_least(0, seed=seed)
        self.seed, self.window = seed, window
        self.rank, self.world_size = rank, world_size
        self._ends: list[int] = []
        """The position at which each pass ends, for the passes computed so far."""

    def window_at(self, position: int) -> Window:
        """Return the window that contains a position of this process."""
        number = 0
        while position >= self._end(number):
            number += 1
        start = self._end(number - 1)
        first = (position - start) // self.window * self.window
        rows = torch.cat([self.groups[shard] for shard in self.shards(number)])
        chosen = rows[first : first + self.window]
        random = _generator(self.seed, number, 1 + self.rank, first)
        order = torch.randperm(len(chosen), generator=random)
        coins = torch.randint(0, 2, (len(chosen),), generator=random, dtype=torch.uint8)
        return Window(start + first, chosen[order], coins.bool())

    def shards(self, number: int) -> list[int]:
        """Return the shards that this process reads in pass `number`, in order."""
        order = torch.randperm(len(self.groups), generator=_generator(self.seed, number))
        return order[self.rank :: self.world_size].tolist()

    def _end(self, number: int) -> int:
        while len(self._ends) <= number:
            count = sum(len(self.groups[shard]) for shard in self.shards(len(self._ends)))
            self._ends.append((self._ends[-1] if self._ends else 0) + count)
        return self._ends[number] if number >= 0 else 0


class StreamLoader(EndlessLoader):
    """A loader of endless random batches from shards, which holds two windows in memory.

    Args:
        source: the pictures of the shards.
        labels: the label of each row of `source`, int64.
        sampler: the order in which images are read.
        shape: the shape of an image, (C, H, W).
        on_error: what to do about a picture that cannot be read: "raise" an error, or "skip" it
            and use another picture of its window in its place.
        value_range: the values of black and white in pictures of more than 8 bits; None if
            `source` takes none of them.
        batch_size, steps, flip, position, repeated: see `EndlessLoader`.
    """

    def __init__(
        self,
        source: Source,
        labels: Tensor,
        sampler: WindowSampler,
        shape: tuple[int, int, int],
        on_error: Literal["raise", "skip"] = "raise",
        value_range: ValueRange | None = None,
        batch_size: int = 64,
        steps: int = 1,
        flip: bool = False,
        position: int = 0,
        repeated: int | None = None,
    ) -> None:
        rank, world_size = sampler.rank, sampler.world_size
        super().__init__(batch_size, steps, flip, position, rank, world_size, repeated)
        self.source, self.labels, self.sampler, self.shape = source, labels, sampler, shape
        self.on_error, self.value_range = on_error, value_range
        self._pool = ThreadPoolExecutor(1)
        weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        self._windows: list[tuple[Window, Future[Decoded]]] = []

    @property
    def size(self) -> int:
        return sum(map(len, self.sampler.groups))

    def _batch(self, position: int) -> Batch:
        at = position // self.world_size
        left = self.batch_size // self.world_size * self.steps
        images, labels = [], []
        while left:
            window, decoded = self._window(at)
            pictures, rows = decoded.result()
            own = torch.arange(at - window.start, min(at + left, window.stop) - window.start)
            part = take_rows(pictures, own)
            if self.flip:
                mirror_(part, window.flips[own])
            images.append(part)
            labels.append(take_rows(self.labels, rows[own]))
            at, left = at + len(own), left - len(own)
        return torch.cat(images), torch.cat(labels)

    def _window(self, at: int) -> tuple[Window, Future[Decoded]]:
        """Return the window of a position, and read the next one in the background."""
        windows = [entry for entry in self._windows if entry[0].stop > at]
        if not windows or windows[0][0].start > at:
            windows = [self._begin(at)]
        if len(windows) < 2:
            windows.append(self._begin(windows[0][0].stop))
        self._windows = windows
        return windows[0]

    def _begin(self, at: int) -> tuple[Window, Future[Decoded]]:
        window = self.sampler.window_at(at)
        return window, self._pool.submit(self._decode, window)

    def _decode(self, window: Window) -> Decoded:
        places = window.rows.argsort()  # in the order of the shards
        part = Part(self.source, window.rows[places].tolist(), "window")
        pictures = torch.empty(len(places), *self.shape, dtype=torch.uint8)
        skipped = decode_all(part, pictures, self.on_error, self.value_range, progress=False)
        images, rows = torch.empty_like(pictures), window.rows.clone()
        images[places] = pictures
        if skipped:
            failed = places[[entry.row for entry in skipped]]
            good = torch.ones(len(rows), dtype=torch.bool)
            good[failed] = False
            readable = good.nonzero().squeeze(1)
            if not len(readable):
                raise ZooError(
                    f"None of {len(rows)} pictures in a row can be read: {skipped[0][1]}"
                )
            instead = readable[torch.arange(len(failed)) % len(readable)]
            images[failed], rows[failed] = images[instead], rows[instead]
        return Decoded(images, rows)


def _generator(*numbers: int) -> torch.Generator:
    entropy = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(entropy[0] >> 1))
