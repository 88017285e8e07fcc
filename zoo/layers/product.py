"""Matrix products of linear layers, by the faster of torch's two libraries on this CPU.

In float32 torch passes matrix products to MKL, which does not use AVX-512 on AMD's CPUs. oneDNN,
which torch uses for convolutions, does use it and is twice as fast there. On other CPUs MKL is
faster, and nothing changes.
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
"""Number of multiplications below which oneDNN's overhead exceeds its gain."""
CLEARLY = 1.4
"""How many times faster oneDNN has to be, so that all runs on the same CPU choose alike."""
SWITCH = "ZOO_PRODUCTS"
"""The environment variable that chooses `mkl` or `onednn` instead of the measurement."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute `F.linear`, with oneDNN if that was measured to be clearly faster.

    Args:
        x: (..., inputs).
        weight: (outputs, inputs).
        bias: (outputs,), or None.

    Returns:
        (..., outputs), which differs from `F.linear` by float32 rounding only. It can be
        differentiated twice.
    """
    if _suits(x, weight) and onednn_is_faster():
        return _Product.apply(x.flatten(0, -2), weight, bias).unflatten(0, x.shape[:-1])
    return F.linear(x, weight, bias)


class ProductLinear(nn.Linear):
    """`nn.Linear` computed by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)


def route_products(network: nn.Module) -> None:
    """Have the `nn.Linear` layers of a network use the faster library, those of plugins too."""
    if onednn_is_faster():
        for module in network.modules():
            if type(module) is nn.Linear:
                module.__class__ = ProductLinear


@functools.cache
def onednn_is_faster() -> bool:
    """Whether oneDNN's products are clearly faster on this CPU; measured once, in about 20 ms.

    Raises:
        ValueError: The environment variable names an unknown library.
    """
    library = os.environ.get(SWITCH, "")
    if library not in ("", "mkl", "onednn"):
        raise ValueError(f"{SWITCH}={library} is not a library. Choices: mkl, onednn.")
    if not onednn_has_products():
        return False
    return library == "onednn" if library else _ratio() > CLEARLY


def _ratio() -> float:
    """Measure how many times faster oneDNN computes a product of an MLP with batch size 64.

    The best of 16 repetitions counts, for each library.
    """
    with torch.no_grad():
        x = torch.ones(64, 512, dtype=torch.float32, device="cpu")
        weight = torch.ones(1024, 512, dtype=torch.float32, device="cpu")
        seconds = [float("inf")] * 2
        for _ in range(16):  # alternating, so that other load on the machine affects both
            for i, product in enumerate((F.linear, _onednn)):
                start = time.perf_counter()
                product(x, weight, None)  # type: ignore[operator]
                seconds[i] = min(seconds[i], time.perf_counter() - start)
    return seconds[0] / seconds[1]


def _suits(x: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN can take these tensors, and no compiler or exporter is tracing."""
    return (
        not torch.compiler.is_compiling()  # first, since a compiler would trace what follows
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.dim() > 1
        and x.numel() * weight.shape[0] >= FEWEST
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
    )


class _Product(torch.autograd.Function):
    """x W^T + b, whose gradients are such products again.

    The gradients have as many multiplications. They take strided operands, since copies would cost
    half of what oneDNN gains.
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
