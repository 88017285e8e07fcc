"""Self-attention over the positions of a map.

Paper: Zhang et al. (2019), arXiv:1805.08318.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from zoo.core.errors import ZooError, listing
from zoo.layers.linear import Conv2d


class SelfAttention2d(nn.Module):
    """x + gain * attention(x) on maps (N, C, H, W); the gain starts at 0.

    Every position asks with C/8 channels and is answered with C/2 by the 2x2 maxima of the map, as
    in the authors' code; no bias, scores not scaled. Of an odd side the last row or column is a
    maximum of its own, so that no position goes unheard.

    The fused kernels have no second derivative: a gradient penalty in a loop of one's own calls the
    network under `twice_differentiable`, as the step does.

    Args:
        channels: C; of fewer than 8, one asks.
        spectral_norm: normalise the four 1x1 convolutions.
    """

    def __init__(self, channels: int, spectral_norm: bool) -> None:
        super().__init__()
        narrow, half = max(channels // 8, 1), max(channels // 2, 1)

        def conv(inputs: int, outputs: int) -> Conv2d:
            return Conv2d(inputs, outputs, 1, bias=False, spectral_norm=spectral_norm)

        self.query, self.key = conv(channels, narrow), conv(channels, narrow)
        self.value, self.out = conv(channels, half), conv(half, channels)
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        query = _positions(self.query(x))
        key = _positions(F.max_pool2d(self.key(x), 2, ceil_mode=True))
        value = _positions(F.max_pool2d(self.value(x), 2, ceil_mode=True))
        answers = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        maps = answers.squeeze(1).transpose(1, 2).unflatten(2, (height, width))
        return torch.addcmul(x, self.gain.to(x.dtype), self.out(maps))


def twice_differentiable() -> AbstractContextManager[None]:
    """Where scaled_dot_product_attention has a second derivative, which gradient penalties take."""
    return sdpa_kernel(SDPBackend.MATH)


def _positions(maps: Tensor) -> Tensor:
    """Maps (N, C, H, W) as (N, 1, H * W, C): one head, a row for each position."""
    return maps.flatten(2).transpose(1, 2).unsqueeze(1)


def attention_place(side: int, sides: Sequence[int], part: str) -> int | None:
    """The block after whose map of `side` x `side` attention stands; None for 0.

    Args:
        side: the option `attention` of a part.
        sides: of the maps after its blocks, in order; of equal ones the first is taken.
        part: kind and name, for the error.

    Raises:
        ZooError: no map has that side.
    """
    if side == 0:
        return None
    if side not in sides:
        known = listing(dict.fromkeys(sides))
        raise ZooError(
            f"{part}: attention={side} must be the side of one of its maps, {known}, or 0."
        )
    return list(sides).index(side)
