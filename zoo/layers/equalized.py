"""Layers with an equalised learning rate: weights have unit variance and are scaled on use.

Adam changes every weight by about the learning rate per step. If all weights have the same scale,
every layer learns at the same speed.

Papers: Karras et al. (2018), arXiv:1710.10196; Karras et al. (2020), arXiv:1912.04958.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError, with_article
from zoo.layers.fir import FIR
from zoo.layers.product import linear
from zoo.layers.weights import DerivedWeight

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)
"""Keeps the second moment of a leaky ReLU's output near that of its input."""

CLAMP = 256.0
"""Largest activation in half precision."""


def clamp_half(x: Tensor, bound: float = CLAMP) -> Tensor:
    """Clamp half-precision tensors to [-bound, bound]; others are returned unchanged."""
    return x.clamp(-bound, bound) if x.dtype in (torch.float16, torch.bfloat16) else x


class EqualizedLinear(DerivedWeight, nn.Linear):
    """x -> gain * act(x @ (lr w / sqrt(inputs))^T + lr b), with w initialised from N(0, 1) / lr.

    Args:
        inputs, outputs: numbers of features.
        bias: whether there is a bias b.
        initial_bias: initial value of lr b.
        lr: multiplier of the learning rate of weight and bias.
        activate: whether act is a leaky ReLU with gain sqrt(2) instead of the identity.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        initial_bias: float = 0.0,
        lr: float = 1.0,
        activate: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, bias=bias)
        self.spectral_norm = None
        self.activate = activate
        # A leaky ReLU is homogeneous, so its gain can be folded into weight and bias.
        gain = LRELU_GAIN if activate else 1.0
        self.weight_scale = gain * lr / math.sqrt(inputs)
        self.bias_scale = gain * lr
        nn.init.normal_(self.weight, std=1 / lr)
        if bias:
            nn.init.constant_(self.bias, initial_bias / lr)

    def derive(self) -> Tensor:
        return self.weight * self.weight_scale

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.bias_scale
        x = linear(x, self.effective_weight(), bias)
        return F.leaky_relu(x, LRELU_SLOPE, inplace=True) if self.activate else x


class EqualizedEmbedding(DerivedWeight, nn.Embedding):
    """An embedding with unit variance that is not rescaled on use."""

    def __init__(self, entries: int, width: int) -> None:
        super().__init__(entries, width)
        self.spectral_norm = None


class EqualizedConv2d(DerivedWeight, nn.Conv2d):
    """x -> gain * act(conv(x, w / sqrt(fan-in)) + b), with w initialised from N(0, 1) and b from 0.

    The convolution keeps the size of the map, or halves it: FIR filter, then stride 2.

    Args:
        inputs, outputs: numbers of channels.
        kernel_size: odd side of the kernel.
        bias: whether there is a bias b.
        activate: whether act is a leaky ReLU with gain sqrt(2) instead of the identity.
        gain: further gain, folded into weight and bias.
        down: whether to halve the map.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: int,
        bias: bool = True,
        activate: bool = False,
        gain: float = 1.0,
        down: bool = False,
    ) -> None:
        super().__init__(inputs, outputs, kernel_size, padding=kernel_size // 2, bias=bias)
        self.spectral_norm = None
        self.activate = activate
        self.gain = gain * (LRELU_GAIN if activate else 1.0)
        self.clamp = CLAMP * gain
        # A 1x1 kernel sees single pixels, so the filter can already skip what stride 2 would.
        self.thins = down and kernel_size == 1
        self.fir = FIR(down=self.thins, padding=1 if self.thins else 1 + kernel_size // 2)
        self.down = down
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def derive(self) -> Tensor:
        return self.weight * (self.gain / math.sqrt(self.weight[0].numel()))

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.gain
        if not self.down:
            x = F.conv2d(x, self.effective_weight(), bias, padding=self.padding)
        else:
            x = F.conv2d(self.fir(x), self.effective_weight(), bias, 1 if self.thins else 2)
        if self.activate:
            x = F.leaky_relu(x, LRELU_SLOPE, inplace=True)
        return clamp_half(x, self.clamp)


def equalize(layer: nn.Module) -> nn.Module:
    """Replace a head's weight layer by a new equalised one: the `wrap` of a StyleGAN trunk.

    Raises:
        ZooError: The layer is neither `nn.Linear` nor `nn.Embedding`.
    """
    if isinstance(layer, nn.Linear):
        return EqualizedLinear(layer.in_features, layer.out_features, layer.bias is not None)
    if isinstance(layer, nn.Embedding):
        return EqualizedEmbedding(layer.num_embeddings, layer.embedding_dim)
    raise ZooError(
        f"a head wraps {with_article(type(layer).__name__)}, but only nn.Linear and nn.Embedding "
        "have an equalised form."
    )
