"""Design of low-pass filters, and a leaky ReLU between two of them.

Paper: Karras et al. (2021), arXiv:2106.12423.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError
from zoo.layers.convolution import grouped_conv2d
from zoo.layers.equalized import LRELU_GAIN, LRELU_SLOPE, clamp_half


def design_lowpass(
    taps: int, cutoff: float, width: float, rate: float, radial: bool = False
) -> Tensor:
    """Design a filter of gain 1 by the Kaiser method: (taps,), or (taps, taps) if `radial`.

    Args:
        taps: length of the filter, even if `radial`.
        cutoff: cutoff frequency, in cycles per the unit of length that `rate` uses.
        width: width of the transition band, in the same unit.
        rate: number of samples per unit of length.
        radial: whether the filter is radially symmetric: jinc J1(2 pi cutoff r) / (pi r) in a
            square window. Otherwise it is a windowed sinc along one axis.
    """
    try:
        import numpy as np
        from scipy import signal, special
    except ImportError:
        raise ZooError(
            "generator stylegan3 designs its filters with scipy, which is not installed here: "
            "pip install scipy."
        ) from None
    if not radial:
        kernel = signal.firwin(taps, cutoff=cutoff, width=width, fs=rate)
        return torch.tensor(kernel, dtype=torch.float32)
    positions = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.hypot(*np.meshgrid(positions, positions))
    window = np.kaiser(taps, signal.kaiser_beta(signal.kaiser_atten(taps, width / (rate / 2))))
    jinc = special.j1(2 * cutoff * np.pi * radius) / (np.pi * radius)
    kernel = jinc * np.outer(window, window)
    return torch.tensor(kernel / kernel.sum(), dtype=torch.float32)


class FilteredLeakyReLU(nn.Module):
    """Upsampling by a filter, leaky ReLU of gain sqrt(2), downsampling by a filter.

    The leaky ReLU's kinks create frequencies that the map's own sampling rate cannot represent. At
    the higher rate they can be represented, and are filtered out before the map returns to a lower
    one. All filters are depthwise convolutions. Maps are cropped equally on all sides, so that
    their centre stays in place.

    Args:
        up_filter: (taps,), with an even number of taps.
        up: even factor of the upsampling.
        down_filter: (taps,), or (taps, taps) for a radial filter, with an even number of taps.
        down: even factor of the downsampling.
        inputs, outputs: sides of the maps before and after.
    """

    constants: ClassVar[tuple[str, ...]] = ("up_filter", "down_filter")

    up_filter: Tensor
    down_filter: Tensor

    def __init__(
        self,
        up_filter: Tensor,
        up: int,
        down_filter: Tensor,
        down: int,
        inputs: int,
        outputs: int,
    ) -> None:
        super().__init__()
        self.up, self.down = up, down
        self.register_buffer("up_filter", up_filter)
        self.register_buffer("down_filter", down_filter)
        # The second filter has no padding and needs this many samples. The first one returns more,
        # by an even number, of which the second gets the middle.
        between = (outputs - 1) * down + len(down_filter)
        self.crop = ((inputs - 1) * up + len(up_filter) - between) // 2
        if self.crop < 0:
            raise ValueError(f"maps of {inputs} pixels are too small for {outputs} after filtering")

    def forward(self, x: Tensor) -> Tensor:
        # `up` makes up for the zeros between the samples; the gain sqrt(2) passes the leaky ReLU.
        up_filter = (self.up_filter * self.up).to(x.dtype)
        x = self._upsample(x, up_filter * LRELU_GAIN, axis=2)
        x = self._upsample(x, up_filter, axis=3)
        x = clamp_half(F.leaky_relu(x, LRELU_SLOPE, inplace=True))
        channels = x.shape[1]
        taps = self.down_filter.to(x.dtype)
        if taps.dim() == 2:
            return grouped_conv2d(x, taps.expand(channels, 1, -1, -1), channels, self.down)
        for kernel, stride in ((taps[:, None], (self.down, 1)), (taps[None], (1, self.down))):
            x = grouped_conv2d(x, kernel.expand(channels, 1, -1, -1), channels, stride)
        return x

    def _upsample(self, x: Tensor, taps: Tensor, axis: int) -> Tensor:
        rows = axis == 2
        channels = x.shape[1]
        kernel = (taps[:, None] if rows else taps[None]).expand(channels, 1, -1, -1)
        stride = (self.up, 1) if rows else (1, self.up)
        crop = (self.crop, 0) if rows else (0, self.crop)
        return grouped_conv2d(x, kernel, channels, stride, crop, transposed=True)
