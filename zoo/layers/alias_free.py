"""Alias-free layers, whose maps are samples of a continuous signal that can shift and rotate.

Paper: Karras et al. (2021), arXiv:2106.12423.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.equalized import EqualizedLinear, clamp_half
from zoo.layers.lowpass import FilteredLeakyReLU, design_lowpass

MAGNITUDE_HALF_LIFE = 20_000
"""Half-life of the running average of a layer's input magnitude, in images."""


@dataclass(frozen=True)
class Band:
    """The band of frequencies that the maps at one place of the network hold.

    Attributes:
        rate: number of samples per image side.
        cutoff: highest frequency, in cycles per image side.
        half_width: half the width of the transition band of the filters, around the cutoff.
        size: side of the map, margins included.
        channels: number of channels of the map.
    """

    rate: int
    cutoff: float
    half_width: float
    size: int
    channels: int


class FourierInput(nn.Module):
    """Fourier features, translated and rotated by the style: the network's first map.

    The features are sin(2 pi (f . x + phase)) with `channels` fixed random phases and frequencies f
    in a disc of radius `band.cutoff`, mixed by a learned square matrix. The style determines a
    rotation and a translation of x, which are none at the start. `transform`, a matrix (3, 3) on
    (x, y, 1) from points of the image to points of the signal, is for users to set.

    Args:
        band: the band of the map.
        style_dim: width of w.
    """

    frequencies: Tensor
    phases: Tensor
    transform: Tensor
    grid: Tensor

    def __init__(self, band: Band, style_dim: int) -> None:
        super().__init__()
        self.band = band
        frequencies = torch.randn(band.channels, 2)
        radii = frequencies.square().sum(1, keepdim=True).sqrt()
        # Map the normal distribution to an almost uniform one on a disc.
        frequencies = frequencies / (radii * radii.square().exp().pow(0.25)) * band.cutoff
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("phases", torch.rand(band.channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        places = (torch.arange(band.size) + 0.5 - band.size / 2) / band.rate
        y, x = torch.meshgrid(places, places, indexing="ij")
        self.register_buffer("grid", torch.stack((x, y), dim=2), persistent=False)
        self.weight = nn.Parameter(torch.randn(band.channels, band.channels))
        self.affine = EqualizedLinear(style_dim, 4)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, w: Tensor) -> Tensor:
        with torch.autocast(w.device.type, enabled=False):
            cos, sin, x, y = self.affine(w.to(self.weight.dtype)).unbind(1)
            length = (cos.square() + sin.square()).sqrt()
            cos, sin, x, y = cos / length, sin / length, x / length, y / length
            turn = torch.stack((cos, -sin, sin, cos), dim=1).view(-1, 2, 2)
            own, shift = self.transform[:2, :2], self.transform[:2, 2] - torch.stack((x, y), dim=1)
            turned = self.frequencies @ turn  # (N, C, 2)
            phases = self.phases + (turned @ shift[:, :, None]).squeeze(2)
            frequencies = turned @ own
            # Fade out waves that, once the transform shrinks them, exceed the map's sampling rate.
            radii = frequencies.square().sum(2).sqrt()
            room = self.band.rate / 2 - self.band.cutoff
            amplitudes = (1 - (radii - self.band.cutoff) / room).clamp(0, 1)
            waves = self.grid.flatten(0, 1) @ frequencies.transpose(1, 2) + phases[:, None]
            waves = torch.sin(2 * math.pi * waves) * amplitudes[:, None]
            maps = waves @ (self.weight.T / math.sqrt(self.band.channels))
            size = self.band.size
            return maps.view(-1, size, size, self.band.channels).permute(0, 3, 1, 2)


class AliasFreeConv2d(nn.Module):
    """Modulated convolution and filtered leaky ReLU, or the modulated 1x1 convolution to the image.

    The input is divided by the root of its running mean square, which averages over many images.
    Before demodulation, kernels are normalised per output channel and styles per image, which
    changes nothing except through eps. (The authors normalise styles over the batch, which makes
    images depend on each other.) A bias follows, and unless `to_image`, a leaky ReLU between
    low-pass filters.

    Args:
        source, target: bands of the maps before and after.
        kernel_size: 3, or 1 for a rotation-equivariant layer.
        style_dim: width of w.
        radial: whether the second filter is radially symmetric.
        to_image: whether this is the layer to the image, which is not demodulated and has neither
            filters nor leaky ReLU.
    """

    magnitude_mean: Tensor

    def __init__(
        self,
        source: Band,
        target: Band,
        kernel_size: int,
        style_dim: int,
        radial: bool = False,
        to_image: bool = False,
    ) -> None:
        super().__init__()
        inputs, outputs = source.channels, target.channels
        self.affine = EqualizedLinear(style_dim, inputs, initial_bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        # This name has it averaged over processes before a checkpoint, and copied into the EMA.
        self.register_buffer("magnitude_mean", torch.ones(()))
        self.padding = kernel_size - 1
        self.activation: FilteredLeakyReLU | None = None
        if not to_image:
            rate = 2 * max(source.rate, target.rate)
            up, down = rate // source.rate, rate // target.rate
            self.activation = FilteredLeakyReLU(
                design_lowpass(6 * up, source.cutoff, 2 * source.half_width, rate),
                up,
                design_lowpass(6 * down, target.cutoff, 2 * target.half_width, rate, radial),
                down,
                source.size + self.padding,
                target.size,
            )

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        if self.training:
            self._follow(x)
        with torch.autocast(w.device.type, enabled=False):
            styles = self.affine(w.to(self.weight.dtype))
            if self.activation is None:
                styles = styles / math.sqrt(self.weight[0].numel())
                factor = styles.new_ones(1, 1)
            else:
                styles = styles * styles.square().mean(1, keepdim=True).rsqrt()
                squares = self.weight.square().sum((2, 3))
                normalise = (squares.sum(1) / self.weight[0].numel()).rsqrt()
                power = styles.square() @ (squares * normalise[:, None].square()).T
                factor = normalise * (power + 1e-8).rsqrt()
            styles = styles * self.magnitude_mean.rsqrt()
        x = F.conv2d(x * styles.to(x.dtype)[:, :, None, None], self.weight, padding=self.padding)
        bias = self.bias.to(x.dtype)[:, None, None]
        x = torch.addcmul(bias, x, factor.to(x.dtype)[:, :, None, None])
        return clamp_half(x) if self.activation is None else self.activation(x)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        now = x.square().mean(dtype=self.magnitude_mean.dtype)
        keep = 0.5 ** (len(x) / MAGNITUDE_HALF_LIFE)
        self.magnitude_mean.copy_(now.lerp(self.magnitude_mean, keep))
