"""Convolution, linear layer and embedding with spectral norm and folded resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError, with_article
from zoo.layers.product import linear
from zoo.layers.weights import DerivedWeight

Resample = Literal["none", "pool", "upsample"]

# Row k marks the taps of the 3-tap kernel whose sum is tap k of the 4-tap kernel, which is the
# convolution of (w0, w1, w2) with (1, 1). Both foldings apply this matrix along each axis. The
# device is explicit because this file may first be imported under the meta device.
_SPREAD = torch.tensor(
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], device="cpu"
)


def fold_matrix(resample: Literal["pool", "upsample"]) -> Tensor:
    """Return the matrix (16, 9) from a 3x3 kernel to the 4x4 kernel that also resamples.

    `pool`: a 3x3 convolution followed by a 2x2 mean is one 4x4 convolution with stride 2.
    `upsample`: nearest upsampling followed by a 3x3 convolution is one transposed 4x4 convolution
    with stride 2 and reversed taps.
    """
    if resample == "pool":
        return torch.kron(_SPREAD, _SPREAD) / 4
    return torch.kron(_SPREAD.flip(0), _SPREAD.flip(0))


def fold(kernel: Tensor, matrix: Tensor, channels_last: bool) -> Tensor:
    """Expand 3x3 kernels (A, B, 3, 3) to (A, B, 4, 4), in the requested memory format."""
    a, b = kernel.shape[:2]
    matrix = matrix.to(kernel.dtype)
    if channels_last:
        taps = kernel.permute(0, 2, 3, 1).reshape(a, 9, b)
        return (matrix @ taps).view(a, 4, 4, b).permute(0, 3, 1, 2)
    return (kernel.reshape(-1, 9) @ matrix.T).view(a, b, 4, 4)


class Conv2d(DerivedWeight, nn.Conv2d):
    """2-D convolution with optional spectral norm, optionally folded with adjacent resampling.

    The parameter `weight` is always the plain kernel. `resample="pool"` follows a 3x3 convolution
    by a 2x2 average pool, `resample="upsample"` precedes it by nearest 2x upsampling. Both are
    exact and cost 16 instead of 36 multiplications per channel pair and output (pool) or input
    (upsample).

    Args:
        inputs, outputs: numbers of channels.
        kernel_size, stride, padding, bias: as in `nn.Conv2d`; folding needs 3, 1 and 1.
        resample: the resampling to fold with the convolution.
        spectral_norm: whether to divide the weight by its largest singular value.
        gain: gain of the Xavier-uniform initialisation; the bias starts at 0.
    """

    fold_matrix: Tensor | None

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        resample: Resample = "none",
        spectral_norm: bool = False,
        gain: float = 1.0,
    ) -> None:
        super().__init__(inputs, outputs, kernel_size, stride, padding, bias=bias)
        if resample != "none" and (kernel_size, stride, padding) != (3, 1, 1):
            raise ValueError("only a 3x3 convolution with stride 1 and padding 1 can be folded")
        self.resample = resample
        folding = None if resample == "none" else fold_matrix(resample)
        self.register_buffer("fold_matrix", folding, persistent=False)
        self.initialise(gain, spectral_norm)

    def derive(self) -> Tensor:
        weight = super().derive()
        if self.fold_matrix is None:
            return weight
        channels_last = weight.is_contiguous(memory_format=torch.channels_last)
        if self.resample == "upsample":
            # A transposed convolution expects (inputs, outputs); swap while the kernel is small.
            weight = weight.transpose(0, 1)
        with torch.autocast(weight.device.type, enabled=False):
            return fold(weight, self.fold_matrix, channels_last)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.effective_weight()
        if self.resample == "upsample":
            return F.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)
        stride = 2 if self.resample == "pool" else self.stride
        return F.conv2d(x, weight, self.bias, stride, self.padding)


class Linear(DerivedWeight, nn.Linear):
    """Linear layer with Xavier-uniform initialisation and an optional spectral norm."""

    def __init__(
        self, inputs: int, outputs: int, bias: bool = True, spectral_norm: bool = False
    ) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.initialise(1.0, spectral_norm)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.effective_weight(), self.bias)


class Embedding(DerivedWeight, nn.Embedding):
    """Embedding with Xavier-uniform initialisation and an optional spectral norm."""

    def __init__(self, entries: int, width: int, spectral_norm: bool = False) -> None:
        super().__init__(entries, width)
        self.initialise(1.0, spectral_norm)

    def forward(self, index: Tensor) -> Tensor:
        return F.embedding(index, self.effective_weight())


def head_wrap(spectral_norm: bool) -> Callable[[nn.Module], nn.Module]:
    """Return the `wrap` with which a ResNet trunk replaces its head's weight layers by the zoo's.

    The new layers are initialised Xavier-uniform, which discards the head's own initialisation.

    Args:
        spectral_norm: whether the new layers have spectral norm.

    Raises:
        ZooError: (in the returned function) The layer is neither `nn.Linear` nor `nn.Embedding`.
    """

    def wrap(layer: nn.Module) -> nn.Module:
        if isinstance(layer, nn.Linear):
            bias = layer.bias is not None
            return Linear(layer.in_features, layer.out_features, bias, spectral_norm)
        if isinstance(layer, nn.Embedding):
            return Embedding(layer.num_embeddings, layer.embedding_dim, spectral_norm)
        raise ZooError(
            f"a head wraps {with_article(type(layer).__name__)}, but only nn.Linear and "
            "nn.Embedding can be spectral-normalised in a head."
        )

    return wrap
