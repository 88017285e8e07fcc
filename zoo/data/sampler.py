"""The order in which training sees images, a pure function of a seed and a position."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.core.errors import ZooError, at_least


class EndlessSampler:
    """An endless stream of indices: every image once per pass, each pass in its own random order.

    The index at position p, and whether that image is flipped, depend on (seed, p) alone. Batches
    are consecutive pieces of the stream and may span the end of a pass, so no image is dropped,
    and a run can be resumed at any position, even with another batch size or number of processes.

    Args:
        size: the number of images, at least 1.
        seed: the seed of the order and the flips, 0 or more.

    Raises:
        ZooError: there are no images, or the seed is negative.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        if size < 1:
            raise ZooError("There is no image to sample from: the training split is empty.")
        at_least(0, seed=seed)
        self.size = size
        self.seed = seed
        self._passes: dict[int, tuple[Tensor, Tensor]] = {}

    def take(self, start: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the indices and flips at the `count` positions from `start` on.

        Returns:
            Indices (count,) int64 and flips (count,) bool.
        """
        indices, flips = [], []
        while count > 0:
            number, offset = divmod(start, self.size)
            length = min(self.size - offset, count)
            order, coins = self._pass(number)
            indices.append(order[offset : offset + length])
            flips.append(coins[offset : offset + length])
            start, count = start + length, count - length
        if len(indices) == 1:
            return indices[0], flips[0]
        return torch.cat(indices), torch.cat(flips)

    def _pass(self, number: int) -> tuple[Tensor, Tensor]:
        if number not in self._passes:
            # Keep only the previous pass: a batch rarely spans more than two.
            self._passes = {k: v for k, v in self._passes.items() if k == number - 1}
            entropy = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)
            generator = torch.Generator().manual_seed(int(entropy[0] >> 1))
            order = self._order(generator)
            coins = torch.randint(0, 2, (self.size,), generator=generator, dtype=torch.uint8)
            self._passes[number] = (order, coins.bool())
        return self._passes[number]

    def _order(self, generator: torch.Generator) -> Tensor:
        """Return the indices (size,) of one pass."""
        return torch.randperm(self.size, generator=generator)


class BalancedSampler(EndlessSampler):
    """An endless stream of indices in which all classes are equally likely.

    Each position draws a class and then an image of that class, with replacement, so that images
    of rare classes occur more often. Like `EndlessSampler`, it is a pure function of the seed and
    the position.

    Args:
        labels: int64 (N,), the class of each image; classes without images are never drawn.
        seed: the seed of the order and the flips, 0 or more.
    """

    def __init__(self, labels: Tensor, seed: int = 0) -> None:
        super().__init__(len(labels), seed)
        self._by_class = labels.argsort(stable=True)
        counts = labels.bincount()
        self._counts = counts[counts > 0]
        self._starts = self._counts.cumsum(0) - self._counts

    def _order(self, generator: torch.Generator) -> Tensor:
        classes = torch.randint(len(self._counts), (self.size,), generator=generator)
        shares = torch.rand(self.size, generator=generator, dtype=torch.float64)
        # Always below the count, since a share is below 1.
        places = (shares * self._counts[classes]).long()
        return self._by_class[self._starts[classes] + places]
