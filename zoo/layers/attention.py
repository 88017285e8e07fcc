"""Self-attention over the positions of a map.

Paper: Zhang et al. (2019), arXiv:1805.08318.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError, listing
from zoo.layers.linear import Conv2d


class SelfAttention2d(nn.Module):
    """Self-attention on maps (N, C, H, W): x + gain * attention(x), where the gain starts at 0.

    Queries have C/8 channels. Keys and values (C/2 channels) are the 2x2 maxima of the map, as in
    the authors' code; there is no bias, and scores are not scaled. If a side is odd, its last row
    or column forms maxima of its own, so that no position is ignored.

    The fused attention kernels have no second derivative. To use a gradient penalty in your own
    loop, call the network inside `twice_differentiable`, as the zoo's training step does.

    Args:
        channels: C; below 8, queries have one channel.
        spectral_norm: whether to normalise the four 1x1 convolutions.
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
        attended = attend(query, key, value, scale=1.0)
        maps = attended.squeeze(1).transpose(1, 2).unflatten(2, (height, width))
        return torch.addcmul(x, self.gain.to(x.dtype), self.out(maps))


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float | None = None) -> Tensor:
    """Return softmax(scale * query key^T) value, in the dtype of `value`.

    On CPUs it is computed in fp32 even under bf16: there the fused kernels are no faster in bf16,
    and their backward pass takes up to four times as long for short sequences (measured).

    Args:
        query: (N, heads, L, E).
        key: (N, heads, S, E).
        value: (N, heads, S, width).
        scale: factor of the scores; None is 1 / sqrt(E).
    """
    dtype = value.dtype
    if value.device.type != "cpu" or dtype not in (torch.bfloat16, torch.float16):
        return F.scaled_dot_product_attention(query.to(dtype), key.to(dtype), value, scale=scale)
    with torch.autocast("cpu", enabled=False):
        inputs = (query.float(), key.float(), value.float())
        return F.scaled_dot_product_attention(*inputs, scale=scale).to(dtype)


def _positions(maps: Tensor) -> Tensor:
    """Reshape maps (N, C, H, W) to (N, 1, H * W, C): one head, one row per position."""
    return maps.flatten(2).transpose(1, 2).unsqueeze(1)


def attention_place(side: int, sides: Sequence[int], part: str) -> int | None:
    """Return the index of the block after which attention is inserted, or None if `side` is 0.

    Args:
        side: the part's option `attention`, the side of the map to attend to.
        sides: sides of the maps after its blocks, in order; the first of equal ones is taken.
        part: kind and name of the part, for the error message.

    Raises:
        ZooError: No map has that side.
    """
    if side == 0:
        return None
    if side not in sides:
        choices = listing(dict.fromkeys(sides))
        raise ZooError(
            f"{part}: attention={side} must be the side of one of its maps, {choices}, or 0."
        )
    return list(sides).index(side)
