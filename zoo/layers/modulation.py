"""Convolutions whose kernel is scaled by a style, image by image.

Paper: Karras et al. (2020), arXiv:1912.04958.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.equalized import LRELU_GAIN, LRELU_SLOPE, EqualizedLinear, clamp_half
from zoo.layers.fir import FIR


class StyledConv2d(nn.Module):
    """Modulated and demodulated 3x3 convolution, noise, bias, leaky ReLU of gain sqrt(2).

    With s = A(w), one factor per input channel, the kernels are w' = s w and w'' = w' / sqrt(sum
    w'^2 + eps) for each output channel. Scaling the input's channels by s, and the output's
    channels by the inverse root, gives the same with one kernel for the whole batch. The noise is
    one map per image, shared by all channels, times one learned strength: redrawn in training, and
    the same fixed map for every image in eval mode.

    Args:
        inputs, outputs: numbers of channels.
        style_dim: width of w.
        size: (height, width) of the output.
        noise: whether noise is added.
        up: whether to double the map: zeros between the pixels, convolution, FIR filter.
        eps: eps of the demodulation.
    """

    noise_map: Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        style_dim: int,
        size: tuple[int, int],
        noise: bool = True,
        up: bool = False,
        eps: float = 1e-8,
    ) -> None:
        super().__init__()
        self.eps = eps
        self.affine = EqualizedLinear(style_dim, inputs, initial_bias=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.fir = FIR(gain=2.0) if up else None
        self.strength = nn.Parameter(torch.zeros(())) if noise else None
        self.register_buffer("noise_map", torch.randn(1, 1, *size) if noise else None)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        with torch.autocast(w.device.type, enabled=False):
            styles = self.affine(w.to(self.weight.dtype)) / math.sqrt(self.weight[0].numel())
            if x.dtype == torch.float16:  # large styles overflow; demodulation cancels the factor
                styles = styles / styles.abs().amax(1, keepdim=True)
            power = styles.square() @ self.weight.square().sum((2, 3)).T
            demodulation = LRELU_GAIN * (power + self.eps).rsqrt()
        x = x * styles.to(x.dtype)[:, :, None, None]
        if self.fir is None:
            x = F.conv2d(x, self.weight, padding=1)
        else:
            x = self.fir(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2))
        bias = (LRELU_GAIN * self.bias).to(x.dtype)[:, None, None]
        factor = demodulation.to(x.dtype)[:, :, None, None]
        if self.strength is None:
            x = torch.addcmul(bias, x, factor)
        else:
            x = torch.addcmul(self._noise(x), x, factor).add_(bias)
        return clamp_half(F.leaky_relu(x, LRELU_SLOPE, inplace=True))

    def _noise(self, x: Tensor) -> Tensor:
        assert self.noise_map is not None
        assert self.strength is not None
        noise = self.noise_map.to(x.dtype)
        if self.training:
            noise = torch.randn_like(x[:, :1])
        return noise * (LRELU_GAIN * self.strength).to(x.dtype)


class ToImage(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation, and a bias."""

    def __init__(self, inputs: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.affine = EqualizedLinear(style_dim, inputs, initial_bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, inputs))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        with torch.autocast(w.device.type, enabled=False):
            styles = self.affine(w.to(self.weight.dtype)) / math.sqrt(self.weight.shape[1])
            kernels = self.weight * styles[:, None]  # per image: cheaper with few channels
        images = torch.bmm(kernels.to(x.dtype), x.flatten(2)).unflatten(2, x.shape[2:])
        return clamp_half(images + self.bias.to(images.dtype)[:, None, None])
