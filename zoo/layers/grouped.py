"""Grouped convolutions with a fast second derivative.

torch computes the second derivative of a grouped convolution group by group, which for depthwise
filters means hundreds of small operations. Here the gradient with respect to the input is itself
expressed as a convolution, whose own gradients take one operation each. The input is not saved for
the backward pass if the filters are not learned, since it is not needed then.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[int, int]
"""One number for rows and one for columns."""


def grouped_conv2d(
    x: Tensor,
    weight: Tensor,
    groups: int,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    transposed: bool = False,
) -> Tensor:
    """Return `F.conv2d` or `F.conv_transpose2d` in groups, of maps and weights of one dtype."""
    pairs = _pair(stride), _pair(padding)
    if x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        output: Tensor = _Grouped.apply(x, weight, groups, *pairs, transposed)
        return output
    return _convolved(x, weight, groups, *pairs, transposed)


def _pair(number: int | Pair) -> Pair:
    return (number, number) if isinstance(number, int) else number


def _convolved(
    x: Tensor, weight: Tensor, groups: int, stride: Pair, padding: Pair, transposed: bool
) -> Tensor:
    if transposed:
        return F.conv_transpose2d(x, weight, stride=stride, padding=padding, groups=groups)
    return F.conv2d(x, weight, stride=stride, padding=padding, groups=groups)


class _Grouped(torch.autograd.Function):
    """The convolution, with a backward pass whose derivatives are single operations."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        groups: int,
        stride: Pair,
        padding: Pair,
        transposed: bool,
    ) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.sides = x.shape[2:]
        ctx.options = groups, stride, padding, transposed
        return _convolved(x, weight, *ctx.options)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        groups, stride, padding, transposed = ctx.options
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0] and transposed:
            grad_x = F.conv2d(gradient, weight, stride=stride, padding=padding, groups=groups)
        elif ctx.needs_input_grad[0]:
            # Rows and columns of x that no stride reached have no gradient.
            rest = [
                size - ((output - 1) * step - 2 * zeros + taps)
                for size, output, taps, step, zeros in zip(
                    ctx.sides, gradient.shape[2:], weight.shape[2:], stride, padding, strict=True
                )
            ]
            grad_x = F.conv_transpose2d(
                gradient, weight, None, stride, padding, (rest[0], rest[1]), groups
            )
        if ctx.needs_input_grad[1]:
            grad_weight = torch.ops.aten.convolution_backward(
                *(gradient, x, weight, None, stride, padding, (1, 1), transposed, (0, 0), groups),
                (False, True, False),
            )[1]
        return grad_x, grad_weight, None, None, None, None


class GroupedConv2d(nn.Conv2d):
    """A grouped 3x3 convolution with bias, which keeps the size and the number of channels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        with torch.autocast(x.device.type, enabled=False):
            output = grouped_conv2d(x, self.weight.to(x.dtype), self.groups, padding=1)
            return output + self.bias.to(x.dtype)[:, None, None]
