"""CutMix: a rectangle of one image replaced by that of another.

Paper: Yun et al. (2019), arXiv:1905.04899.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cutmix_masks(images: Tensor) -> Tensor:
    """Draw masks (N, 1, H, W) of 0 and 1, each with a rectangle, for images (N, C, H, W).

    The rectangle has the image's proportions, and its share of the image's area is uniform from 0
    to 1. Its centre is uniform over the image; what lies outside is cut off. With equal
    probability, the mask is 0 inside and 1 outside, or the other way round.
    """
    n, _, height, width = images.shape
    area, row, column, coin = torch.rand(4, n, 1, device=images.device)
    rows = _inside(height, row, area.sqrt())
    columns = _inside(width, column, area.sqrt())
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return (inside ^ (coin < 0.5)[:, :, None, None]).to(images.dtype)


def _inside(size: int, center: Tensor, share: Tensor) -> Tensor:
    """Return a mask (N, size), true within `share` of the size around `center`.

    Args:
        size: number of pixels of the axis.
        center: (N, 1), from 0 to 1.
        share: (N, 1), from 0 to 1.
    """
    position = (torch.arange(size, device=center.device) + 0.5) / size
    return (position - center).abs() < share / 2


def mix(masks: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Take `first` where the masks are 1 and `second` where they are 0."""
    return torch.lerp(second, first.to(second.dtype), masks.to(second.dtype))
