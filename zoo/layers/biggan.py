"""The body that BigGAN and SAGAN share: residual blocks with spectral norm and self-attention.

Papers: Brock et al. (2019), arXiv:1809.11096; Zhang et al. (2019), arXiv:1805.08318.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.attention import SelfAttention2d, attention_place
from zoo.layers.linear import Conv2d, Linear
from zoo.layers.resnet import DiscriminatorBlock, GeneratorBlock
from zoo.layers.shapes import to_map

Attention = int | Literal["auto"]
LARGEST_ATTENTION = 64

NORM_EPS = 1e-4

# By number of doublings: widths from the latent to the image, as multiples of the base width.
_WIDTHS = {
    4: (16, 8, 4, 2, 1),
    5: (16, 16, 8, 4, 2, 1),
    6: (16, 16, 8, 8, 4, 2, 1),
    7: (16, 16, 8, 8, 4, 2, 1, 1),
}


def pyramid(doublings: int) -> tuple[int, ...]:
    """Return widths for 4 or more doublings, as multiples of the base width.

    Beyond 512 pixels, all further maps have the last width.
    """
    return (*_WIDTHS[min(doublings, 7)], *(1,) * (doublings - 7))


def generator_widths(doublings: int) -> tuple[int, ...]:
    """Return the widths of G's maps as multiples of the base width, from the first map on."""
    return pyramid(doublings) if doublings > 3 else (4,) * (doublings + 1)


def discriminator_plan(halvings: int) -> tuple[tuple[int, ...], int]:
    """Return the widths after D's blocks, in multiples of the base, and how many downsample."""
    if halvings > 3:
        return pyramid(halvings)[::-1], halvings
    return (2, 2, 2, 2), min(halvings, 2)


def attention_side(attention: Attention, sides: Sequence[int], image_side: int) -> int:
    """Resolve `auto` to the largest even side of at most half the image and 64, or 0 if none."""
    if attention != "auto":
        return attention
    largest = min(LARGEST_ATTENTION, image_side // 2)
    return max((s for s in sides if s <= largest and s % 2 == 0), default=0)


class ModulatedBatchNorm2d(nn.Module):
    """Batch norm, then (1 + W_g c) * x + W_b c for a condition c (N, K).

    W_g and W_b have spectral norm and no bias. With `condition_dim=0` it is batch norm with learned
    gain and bias, and takes no condition.
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=NORM_EPS, affine=condition_dim == 0)
        self.gain = self.bias = None
        if condition_dim:
            self.gain = Linear(condition_dim, channels, bias=False, spectral_norm=True)
            self.bias = Linear(condition_dim, channels, bias=False, spectral_norm=True)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        x = self.norm(x)
        if self.gain is None or self.bias is None:
            return x
        gain, bias = (m(condition)[:, :, None, None].to(x.dtype) for m in (self.gain, self.bias))
        return torch.addcmul(bias, x, 1 + gain)


class GeneratorBody(nn.Module):
    """From a vector (N, first_dim) and a condition per block to images in [-1, 1].

    It consists of a linear layer to the first map, residual blocks that double it, self-attention
    after one of them, batch norm, ReLU, a 3x3 convolution and tanh. All weights have spectral norm.

    Args:
        start: height and width of the first map.
        widths: numbers of channels of the maps; one more than there are blocks.
        first_dim: length of the vector.
        condition_dim: length of a block's condition; 0 for none.
        channels: number of image channels.
        attention: (shorter) side of the map that self-attention is applied to; 0 for none, `auto`
            for half the image's side but at most 64.
        part: kind and name of the part, for error messages.
    """

    def __init__(
        self,
        start: tuple[int, int],
        widths: Sequence[int],
        first_dim: int,
        condition_dim: int,
        channels: int,
        attention: Attention,
        part: str,
    ) -> None:
        super().__init__()
        self.start = start
        self.project = Linear(first_dim, start[0] * start[1] * widths[0], spectral_norm=True)

        def norm(width: int) -> ModulatedBatchNorm2d:
            return ModulatedBatchNorm2d(width, condition_dim)

        self.blocks = nn.ModuleList(
            GeneratorBlock(widths[i], widths[i + 1], norm, spectral_norm=True)
            for i in range(len(widths) - 1)
        )
        sides = [min(start) << (i + 1) for i in range(len(self.blocks))]
        side = attention_side(attention, sides, sides[-1])
        self.attends_after = attention_place(side, sides, part)
        if self.attends_after is not None:
            width = widths[self.attends_after + 1]
            self.attention = SelfAttention2d(width, spectral_norm=True)
        self.norm = nn.BatchNorm2d(widths[-1], eps=NORM_EPS)
        self.to_image = Conv2d(widths[-1], channels, 3, padding=1, spectral_norm=True)

    def forward(self, vector: Tensor, conditions: Sequence[Tensor | None]) -> Tensor:
        h = to_map(self.project(vector), *self.start)
        for i, (block, condition) in enumerate(zip(self.blocks, conditions, strict=True)):
            h = block(h, condition)
            if i == self.attends_after:
                h = self.attention(h)
        return torch.tanh(self.to_image(F.relu(self.norm(h), inplace=True)))


class DiscriminatorBody(nn.Module):
    """From images (N, inputs, H, W) to features summed over positions (N, self.width).

    It consists of residual blocks whose first convolution changes the width, self-attention after
    one of them, and ReLU. All weights have spectral norm.

    Args:
        inputs: number of image channels.
        side: shorter side of the image.
        widths: number of channels after each block.
        halvings: number of blocks, the first ones, that downsample.
        attention: as in `GeneratorBody`.
        part: kind and name of the part, for error messages.
    """

    def __init__(
        self,
        inputs: int,
        side: int,
        widths: Sequence[int],
        halvings: int,
        attention: Attention,
        part: str,
    ) -> None:
        super().__init__()
        self.width = widths[-1]
        blocks: list[nn.Module] = [
            DiscriminatorBlock(
                narrow, wide, pool=i < halvings, first=i == 0, spectral_norm=True, wide=True
            )
            for i, (narrow, wide) in enumerate(zip([inputs, *widths], widths, strict=False))
        ]
        sides = [side >> min(i + 1, halvings) for i in range(len(widths))]
        place = attention_place(attention_side(attention, sides, side), sides, part)
        if place is not None:
            blocks.insert(place + 1, SelfAttention2d(widths[place], spectral_norm=True))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return sum_over_positions(self.blocks(x))


def sum_over_positions(maps: Tensor) -> Tensor:
    """Sum the ReLU of maps (N, C, H, W) to (N, C), in fp32 at least, since bf16 would lose bits."""
    dtype = torch.promote_types(maps.dtype, torch.float32)
    return F.relu(maps, inplace=True).sum((2, 3), dtype=dtype)
