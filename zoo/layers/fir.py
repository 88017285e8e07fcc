"""Resampling by a short low-pass filter, as StyleGAN2 and R3GAN do.

Paper: Karras et al. (2020), arXiv:1912.04958.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FIRResample2d(nn.Module):
    """Double or halve maps (N, C, H, W) with the filter [1, 3, 3, 1] along each axis.

    `up` puts zeros between the pixels and filters with gain 2 along each axis; `down` filters with
    gain 1 and keeps every second pixel. Beyond the border lie zeros. Each is one depthwise 4x4
    convolution of stride 2, the fastest of six ways measured on two cores in fp32.

    Processors are slow at depthwise convolutions in half precision (20 to 50 times), so that there
    they run in fp32 under autocast, too.

    Args:
        channels: C.
        direction: `up` or `down`.
    """

    kernel: Tensor

    def __init__(self, channels: int, direction: Literal["up", "down"]) -> None:
        super().__init__()
        self.channels = channels
        self.direction = direction
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / (4 if direction == "up" else 8)
        kernel = torch.outer(taps, taps).repeat(channels, 1, 1, 1)
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        widened = x.device.type == "cpu" and x.dtype in (torch.bfloat16, torch.float16)
        with torch.autocast(x.device.type, enabled=False):
            made = self._resample(x.float() if widened else x)
        return made.to(x.dtype)

    def _resample(self, x: Tensor) -> Tensor:
        resample = F.conv_transpose2d if self.direction == "up" else F.conv2d
        kernel = self.kernel.to(x.dtype)
        return resample(x, kernel, stride=2, padding=1, groups=self.channels)
