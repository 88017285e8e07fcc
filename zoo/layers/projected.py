"""The layers of Projected GAN on top of a frozen network: random mixing, and a head per map.

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
"""Numbers of channels of the four maps after cross-channel mixing, the finest first."""

WIDTHS = {64: 64, 32: 128, 16: 256, 8: 512}
"""Widths of the heads' maps, by a map's side at an input of 256 pixels."""

EMBEDDING, CLASS_CHANNELS = 128, 64


class RandomConv1x1(nn.Module):
    """A 1x1 convolution with bias that is random and never trained, but stored in checkpoints."""

    weight: Tensor
    bias: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv2d(inputs, outputs, 1)  # Kaiming-uniform with a = sqrt(5)
        self.register_buffer("weight", conv.weight.detach())
        assert conv.bias is not None
        self.register_buffer("bias", conv.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias)


class RandomMixing(nn.Module):
    """Cross-channel, then cross-scale mixing of four maps to four maps of twice their sides.

    Every map passes through a random 1x1 convolution to 64, 128, 256 or 512 channels, the finest
    first. Then, from the coarsest map on, the result of the next coarser map is added (if there is
    one), and the sum is upsampled twofold, bilinearly with aligned corners, and passed through
    another random 1x1 convolution to the width of the next finer map; the finest keeps its 64
    channels.

    Args:
        widths: numbers of channels of the four maps, the finest first.
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
            # The 1x1 convolution commutes with the upsampling, whose weights sum to 1, so it runs
            # first, on a quarter of the positions.
            h = F.interpolate(scale(h), scale_factor=2.0, mode="bilinear", align_corners=True)
            results.insert(0, h)
            if mixed:
                h = h + mixed.pop()
        return results


class Depthwise(DerivedWeight, nn.Conv2d):
    """A depthwise 3x3 convolution, spectral-normalised, without bias."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.initialise(1.0, spectral_norm=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.effective_weight(), None, 1, 1, 1, self.groups)


class Down(nn.Sequential):
    """A strided 4x4 convolution with bias, batch norm and leaky ReLU; halves the map.

    If `separable`: a depthwise 3x3 and a 1x1 convolution, batch norm, leaky ReLU and 2x2 average
    pooling.
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
    """Scores (N, 1, H, W) of one mixed map: downsampling to nominally 8x8, then a 4x4 convolution.

    With classes, the convolution has 64 channels, and the score is their inner product with a
    projection of the class embedding, divided by sqrt(64).

    Args:
        channels: number of channels of the map.
        side: nominal side of the map, at an input of 256 pixels.
        num_classes: number of classes; 0 for none.
        separable: whether to downsample by separable convolutions.
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
        """Return the last hidden map, and its means over positions (N, width)."""
        h = self.downs(x)
        return h, h.mean((2, 3), dtype=torch.promote_types(h.dtype, torch.float32))

    def forward(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the scores, and the means over positions (N, width) of the last hidden map."""
        h, features = self.hidden(x)
        scores = self.score(h)
        if self.embedding is not None and self.project is not None:
            c = F.leaky_relu(self.project(self.embedding(y)), 0.2)[:, :, None, None]
            scores = (scores * c).sum(1, keepdim=True) / math.sqrt(CLASS_CHANNELS)
        return scores, features
