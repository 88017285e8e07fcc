"""Minibatch standard deviation.

Paper: Karras et al. (2018), arXiv:1710.10196.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MinibatchStandardDeviation(nn.Module):
    """Append to maps (N, C, H, W) a channel that measures how much the images of a group differ.

    sqrt(var + 1e-8) over the images of a group, at every position of every channel, averaged over
    channels and positions. There are N/G groups of G images; image i belongs to group i mod (N/G).
    G is the divisor of N nearest to `group`, and above 1 if N is.

    Args:
        group: number of images per group.
    """

    mixes_images = True

    def __init__(self, group: int) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        groups = n // group_size(n, self.group)
        # In fp32 at least: half precision loses the small differences of collapsed images.
        y = x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(0, (-1, groups))
        spread = (y.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        channel = spread.to(x.dtype).repeat(n // groups)[:, None, None, None]
        return torch.cat([x, channel.expand(n, 1, height, width)], dim=1)


def group_size(n: int, group: int) -> int:
    """Return the divisor of n nearest to `group`, above 1 if n is; of two, the smaller."""
    divisors = [d for d in range(min(n, 2), n + 1) if n % d == 0]
    return min(divisors, key=lambda d: abs(d - group))
