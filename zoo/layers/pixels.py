"""Exact pixel moves: flips, quarter turns and whole-pixel shifts in one gather."""

from __future__ import annotations

import torch
from torch import Tensor


def mirrored(index: Tensor, size: int) -> Tensor:
    """Reflect integer positions outside an axis of `size` pixels at its first and last pixel."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    return size - 1 - (index.remainder(period) - (size - 1)).abs()


def gather_pixels(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return images whose pixel (i, j) is the one at (rows, columns) of `x`.

    This is a single gather on the flattened image, which supports a double backward pass.

    Args:
        x: images (N, C, H, W).
        rows, columns: source positions inside the image, int64, broadcastable to (N, H, W).
    """
    n, channels, height, width = x.shape
    source = (rows * width + columns).reshape(n, 1, height * width)
    return x.flatten(2).gather(2, source.expand(n, channels, height * width)).view_as(x)


def flip_and_shift(x: Tensor, reach: float = 0.125) -> Tensor:
    """Flip each image with probability 1/2 and shift it by whole pixels, with reflected edges.

    Args:
        x: images (N, C, H, W).
        reach: largest shift as a fraction of the side, rounded down to pixels.
    """
    n, _, height, width = x.shape
    rows = _shifted(n, height, reach, x.device)
    columns = _shifted(n, width, reach, x.device)
    flips = torch.rand(n, 1, device=x.device) < 0.5
    columns = torch.where(flips, width - 1 - columns, columns)
    return gather_pixels(x, rows[:, :, None], columns[:, None, :])


def _shifted(n: int, size: int, reach: float, device: torch.device) -> Tensor:
    """Return source positions (n, size) after a random shift."""
    most = int(size * reach)
    shift = torch.randint(-most, most + 1, (n, 1), device=device)
    return mirrored(torch.arange(size, device=device) - shift, size)
