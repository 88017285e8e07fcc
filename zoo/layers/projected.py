"""What Projected GAN puts on a frozen feature network: random mixing, and a head for each map.

Paper: Sauer et al. (2021), arXiv:2111.01007.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.linear import Conv2d
from zoo.layers.weights import DerivedWeight

MIXED = (64, 128, 256, 512)
"""Channels to which the four maps are brought, the finest first."""

WIDTHS = {64: 64, 32: 128, 16: 256, 8: 512}
"""The widths of the heads' maps, by the side that a map has at an input of 256 pixels."""

EMBEDDING, CLASS_CHANNELS = 128, 64


class RandomConv1x1(nn.Module):
    """A 1x1 convolution with bias that is drawn once and never trained, but saved."""

    weight: Tensor
    bias: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        drawn = nn.Conv2d(inputs, outputs, 1)  # Kaiming-uniform with a = sqrt(5)
        self.register_buffer("weight", drawn.weight.detach())
        assert drawn.bias is not None
        self.register_buffer("bias", drawn.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)


class RandomMixing(nn.Module):
    """Cross-channel, then cross-scale mixing: four maps, the finest first, to four twice as large.

    Every map goes through a random 1x1 convolution to 64, 128, 256 and 512 channels. From the
    coarsest on, the map so far is added (but to the coarsest), enlarged twice bilinearly with
    aligned corners, and goes through one more to the width of the next finer map; the finest keeps
    its 64.

    Args:
        widths: channels of the four maps.
    """

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.channels = nn.ModuleList(
            RandomConv1x1(a, b) for a, b in zip(widths, MIXED, strict=True)
        )
        outputs = [MIXED[0], *MIXED[:-1]]
        self.widths = outputs
        self.scales = nn.ModuleList(
            RandomConv1x1(a, b) for a, b in zip(MIXED, outputs, strict=True)
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        mixed = [conv(x) for conv, x in zip(self.channels, maps, strict=True)]
        results: list[Tensor] = []
        h = mixed.pop()
        for scale in reversed(self.scales):
            # The 1x1 convolution commutes with the enlargement, whose weights sum to 1: it goes
            # first, on a quarter of the positions.
            h = F.interpolate(scale(h), scale_factor=2.0, mode="bilinear", align_corners=True)
            results.insert(0, h)
            if mixed:
                h = h + mixed.pop()
        return results


class Depthwise(DerivedWeight, nn.Conv2d):
    """A 3x3 convolution of each channel by itself, spectral-normalised, without bias."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.initialise(1.0, spectral_norm=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.effective_weight(), None, 1, 1, 1, self.groups)


class Down(nn.Sequential):
    """A strided 4x4 convolution with bias, batch norm, leaky ReLU; halves the map.

    `separable`: 3x3 by channel and 1x1, batch norm, leaky ReLU, then the mean of 2x2.
    """

    def __init__(self, inputs: int, outputs: int, separable: bool) -> None:
        layers: list[nn.Module] = [Conv2d(inputs, outputs, 4, 2, 1, spectral_norm=True)]
        if separable:
            pointwise = Conv2d(inputs, outputs, 1, bias=False, spectral_norm=True)
            layers = [Depthwise(inputs), pointwise]
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)]
        if separable:
            layers.append(nn.AvgPool2d(2))
        super().__init__(*layers)


class MapHead(nn.Module):
    """Scores (N, 1, H, W) of one mixed map: downs to a nominal 8x8, then a 4x4 convolution.

    With classes the convolution has 64 channels, and the score is their inner product with a
    projection of the class's embedding, over sqrt(64).

    Args:
        channels: of the map.
        side: nominal side of the map, at an input of 256 pixels.
        num_classes: 0 for none.
        separable: the downs of the light variant.
    """

    def __init__(self, channels: int, side: int, num_classes: int, separable: bool) -> None:
        super().__init__()
        widths = [channels, *(width for nominal, width in WIDTHS.items() if nominal < side)]
        self.downs = nn.Sequential(*(Down(a, b, separable) for a, b in pairwise(widths)))
        self.width = widths[-1]
        outputs = CLASS_CHANNELS if num_classes else 1
        self.score = Conv2d(self.width, outputs, 4, bias=False, spectral_norm=True)
        self.embedding = nn.Embedding(num_classes, EMBEDDING) if num_classes else None
        self.project = nn.Linear(EMBEDDING, CLASS_CHANNELS) if num_classes else None

    def hidden(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden map, and its means (N, width)."""
        h = self.downs(x)
        return h, h.mean((2, 3), dtype=torch.promote_types(h.dtype, torch.float32))

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """The scores, and the means (N, width) of the last hidden map."""
        h, features = self.hidden(x)
        scores = self.score(h)
        if self.embedding is not None and self.project is not None:
            c = F.leaky_relu(self.project(self.embedding(y)), 0.2)[:, :, None, None]
            scores = (scores * c).sum(1, keepdim=True) / math.sqrt(CLASS_CHANNELS)
        return scores, features
