"""Training images read from shards while they are trained on, in an order that can be resumed."""

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
    """Images that are in memory together.

    Args:
        start: position of the first, among those of this process.
        rows: of the source, int64 (n,), in the order in which they are trained on.
        flips: which are mirrored, bool (n,).
    """

    start: int
    rows: Tensor
    flips: Tensor

    @property
    def stop(self) -> int:
        return self.start + len(self.rows)


class Decoded(NamedTuple):
    """The images of a window, uint8 (n, C, H, W), and the row that each was read from."""

    images: Tensor
    rows: Tensor


class WindowSampler:
    """The order in which one process sees the images of its shards, without end.

    In every pass the shards are shuffled and dealt out, so that each is read by one process; this
    process reads its own one after the other and shuffles the images within a window. All of it
    depends on the seed and the position alone, so that a run can be taken up anywhere.

    Args:
        groups: rows of each shard, int64.
        seed: 0 or more.
        window: images that are shuffled together.
        rank, world_size: this process among all.

    Raises:
        ZooError: there are fewer shards with images than processes, or a negative seed.
    """

    def __init__(
        self, groups: list[Tensor], seed: int, window: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.groups = [group for group in groups if len(group)]
        if len(self.groups) < max(1, world_size):
            raise ZooError(
                f"There are {len(self.groups)} shards with training images, and each of "
                f"{world_size} processes reads shards of its own: write more and smaller ones."
            )
        at_least(0, seed=seed)
        self.seed, self.window = seed, window
        self.rank, self.world_size = rank, world_size
        self._ends: list[int] = []
        """Where each pass ends, as far as passes have been looked at."""

    def window_at(self, position: int) -> Window:
        """The window that holds a position of this process."""
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
        """The shards that this process reads in a pass, in order."""
        order = torch.randperm(len(self.groups), generator=_generator(self.seed, number))
        return order[self.rank :: self.world_size].tolist()

    def _end(self, number: int) -> int:
        while len(self._ends) <= number:
            count = sum(len(self.groups[shard]) for shard in self.shards(len(self._ends)))
            self._ends.append((self._ends[-1] if self._ends else 0) + count)
        return self._ends[number] if number >= 0 else 0


class StreamLoader(EndlessLoader):
    """Endless random batches of shards, of which two windows are in memory at a time.

    Args:
        source: of the pictures.
        labels: of each of its rows, int64.
        sampler: the order.
        shape: of an image, (C, H, W).
        on_error: what a picture that cannot be read does: end the training, or be replaced by
            another of its window.
        value_range: black and white of pictures of more than 8 bits; None refuses them.
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
        """The window of a position, while the one behind it is read in the background."""
        held = [entry for entry in self._windows if entry[0].stop > at]
        if not held or held[0][0].start > at:
            held = [self._begin(at)]
        if len(held) < 2:
            held.append(self._begin(held[0][0].stop))
        self._windows = held
        return held[0]

    def _begin(self, at: int) -> tuple[Window, Future[Decoded]]:
        window = self.sampler.window_at(at)
        return window, self._pool.submit(self._decode, window)

    def _decode(self, window: Window) -> Decoded:
        places = window.rows.argsort()  # as they lie in the shards
        part = Part(self.source, window.rows[places].tolist(), "window")
        pictures = torch.empty(len(places), *self.shape, dtype=torch.uint8)
        skipped = decode_all(part, pictures, self.on_error, self.value_range, progress=False)
        images, rows = torch.empty_like(pictures), window.rows.clone()
        images[places] = pictures
        if skipped:
            failed = places[[entry.row for entry in skipped]]
            good = torch.ones(len(rows), dtype=torch.bool)
            good[failed] = False
            others = good.nonzero().squeeze(1)
            if not len(others):
                raise ZooError(
                    f"None of {len(rows)} pictures in a row can be read: {skipped[0][1]}"
                )
            instead = others[torch.arange(len(failed)) % len(others)]
            images[failed], rows[failed] = images[instead], rows[instead]
        return Decoded(images, rows)


def _generator(*numbers: int) -> torch.Generator:
    entropy = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(entropy[0] >> 1))
