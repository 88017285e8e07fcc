"""The products of linear layers, by the faster of torch's two libraries on this processor.

In float32 torch hands products to MKL, which leaves AVX-512 unused on AMD's processors; oneDNN,
which torch takes for convolutions, uses it and is twice as fast there. Elsewhere MKL is the faster
one, and nothing changes.
"""

from __future__ import annotations

import functools
import os
import time
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.torch_internals import has_linear_pointwise as onednn_has_products
from zoo.core.torch_internals import linear_pointwise as _onednn

FEWEST = 4_000_000
"""Multiplications of a product below which oneDNN's start costs more than it gains."""
CLEARLY = 1.4
"""How many times faster oneDNN has to be, so that all runs on one processor choose alike."""
SWITCH = "ZOO_PRODUCTS"
"""The environment variable that chooses `mkl` or `onednn` instead of the measurement."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`F.linear`, by oneDNN where that was measured to be clearly faster.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs).
        bias: (outputs,).

    Returns:
        (..., outputs); apart from `F.linear` by float32's rounding. Differentiable twice.
    """
    if _suits(x, weight) and onednn_is_faster():
        return _Product.apply(x.flatten(0, -2), weight, bias).unflatten(0, x.shape[:-1])
    return F.linear(x, weight, bias)


class ProductLinear(nn.Linear):
    """`nn.Linear` by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def route_products(network: nn.Module) -> None:
    """Let the plain `nn.Linear` layers of a network take the faster library, plugins' too."""
    if onednn_is_faster():
        for module in network.modules():
            if type(module) is nn.Linear:
                module.__class__ = ProductLinear


@functools.cache
def onednn_is_faster() -> bool:
    """Whether oneDNN's products are clearly the faster ones here; measured once, in about 20 ms.

    Raises:
        ValueError: the environment variable names no library.
    """
    asked = os.environ.get(SWITCH, "")
    if asked not in ("", "mkl", "onednn"):
        raise ValueError(f"{SWITCH}={asked} is not known. Choices: mkl, onednn.")
    if not onednn_has_products():
        return False
    return asked == "onednn" if asked else _ratio() > CLEARLY


def _ratio() -> float:
    """How many times faster oneDNN computes a product of an MLP of 64 images, the best of both."""
    with torch.no_grad():
        x = torch.ones(64, 512, dtype=torch.float32, device="cpu")
        weight = torch.ones(1024, 512, dtype=torch.float32, device="cpu")
        seconds = [float("inf")] * 2
        for _ in range(16):  # in turn, so that what else runs disturbs both
            for place, product in enumerate((F.linear, _onednn)):
                start = time.perf_counter()
                product(x, weight, None)  # type: ignore[operator]
                seconds[place] = min(seconds[place], time.perf_counter() - start)
    return seconds[0] / seconds[1]


def _suits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN takes these, and compilers and exporters are not better left alone."""
    return (
        not torch.compiler.is_compiling()  # first: a compiler follows what is asked after it
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() > 1
        and x.numel() * weight.shape[0] >= FEWEST
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
    )


class _Product(torch.autograd.Function):
    """x W^T + b, whose gradients are such products again.

    They are of as many multiplications, and take strided operands: copies would cost half of what
    oneDNN gains.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, weight = ctx.saved_tensors
        for_x, for_weight, for_bias = ctx.needs_input_grad
        return (
            _Product.apply(gradient, weight.t(), None) if for_x else None,
            _Product.apply(gradient.t(), x.t(), None) if for_weight else None,
            gradient.sum(0) if for_bias else None,
        )
