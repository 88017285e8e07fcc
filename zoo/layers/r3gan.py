"""The residual block of R3GAN, its initialisation and its widths.

Paper: Huang et al. (2024), arXiv:2501.05441.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError
from zoo.layers.convolution import GroupedConv2d

BLOCKS = 2  # number of blocks per map
FULL_MAPS = 4  # number of maps of `base_channels`, after which each has half as many channels
_SLOPE = 0.2


def scaled_normal_(weight: Tensor, gain: float = 1.0) -> None:
    """Fill `weight` (outputs, ...) with draws from N(0, gain^2 / fan_in)."""
    nn.init.normal_(weight, 0.0, gain / math.sqrt(weight[0].numel()))


class R3GANBlock(nn.Module):
    """x + conv1x1(lrelu(conv3x3(lrelu(conv1x1(x))))), with 2w channels inside and a grouped 3x3.

    There is no norm. The first two convolutions are initialised with gain sqrt(2 / (1 + 0.2^2))
    L^(-1/4), so that the variance stays bounded over L blocks. The last one starts at 0, so that a
    new block is the identity. The biases before the activations are those of the first two
    convolutions.

    Args:
        width: w, the number of channels of the map.
        group_channels: number of channels per group of the 3x3 convolution; divides 2w.
        blocks: L, the number of blocks in the whole network.
    """

    def __init__(self, width: int, group_channels: int, blocks: int) -> None:
        super().__init__()
        inner = 2 * width
        self.conv1 = nn.Conv2d(width, inner, 1)
        self.conv2 = GroupedConv2d(inner, inner // group_channels)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        gain = nn.init.calculate_gain("leaky_relu", _SLOPE) * blocks**-0.25
        for conv in (self.conv1, self.conv2):
            scaled_normal_(conv.weight, gain)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.conv1(x), _SLOPE, inplace=True)
        h = F.leaky_relu(self.conv2(h), _SLOPE, inplace=True)
        return self.conv3(h).add_(x)


def plain_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a 1x1 convolution without bias, initialised to preserve the variance."""
    conv = nn.Conv2d(inputs, outputs, 1, bias=False)
    scaled_normal_(conv.weight)
    return conv


def stage_widths(
    part: str, base_channels: int, group_channels: int, maps: int, constant: bool
) -> list[int]:
    """Return the numbers of channels of the maps, from the smallest to the image.

    Args:
        part: kind and name of the part, for the error message.
        base_channels: number of channels of the four smallest maps.
        group_channels: number of channels per group, which must divide twice each width.
        maps: number of maps.
        constant: whether all maps have `base_channels`; otherwise each map after the fourth has
            half as many as the previous one.

    Raises:
        ZooError: The groups do not divide a width.
    """
    halvings = [0 if constant else max(i - FULL_MAPS + 1, 0) for i in range(maps)]
    unit = group_channels // math.gcd(2, group_channels) * 2 ** halvings[-1]
    if base_channels % unit:
        below = base_channels // unit * unit
        nearest = f"{below} or {below + unit}" if below else f"{unit}"
        raise ZooError(
            f"{part}: base_channels={base_channels} is no multiple of {unit}, which groups of "
            f"{group_channels} channels need with {maps} maps; the nearest is {nearest}."
        )
    return [base_channels >> h for h in halvings]
