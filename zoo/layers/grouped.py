"""Convolutions in groups that can be differentiated twice at their own speed.

torch takes the second derivative of a convolution in groups group by group, which for a filter of
each channel is hundreds of small operations. Here the gradient of the input is itself a
convolution, whose own gradients are one operation each. What passes through filters that are not
learned is not kept for the backward, which does not need it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[int, int]
"""A number for rows and one for columns."""


def grouped_conv2d(
    x: Tensor,
    weight: Tensor,
    groups: int,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    transposed: bool = False,
) -> Tensor:
    """`F.conv2d`, or `F.conv_transpose2d`, of maps and weights of one type, in groups."""
    pairs = _pair(stride), _pair(padding)
    if x.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling():
        made: Tensor = _Grouped.apply(x, weight, groups, *pairs, transposed)
        return made
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
    """The same, with a backward made of operations that are differentiable in one each."""

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
        of_x = of_weight = None
        if ctx.needs_input_grad[0] and transposed:
            of_x = F.conv2d(gradient, weight, stride=stride, padding=padding, groups=groups)
        elif ctx.needs_input_grad[0]:
            # Rows of x that no stride reached have no gradient.
            left = [
                size - ((other - 1) * step - 2 * zeros + taps)
                for size, other, taps, step, zeros in zip(
                    ctx.sides, gradient.shape[2:], weight.shape[2:], stride, padding, strict=True
                )
            ]
            of_x = F.conv_transpose2d(
                gradient, weight, None, stride, padding, (left[0], left[1]), groups
            )
        if ctx.needs_input_grad[1]:
            of_weight = torch.ops.aten.convolution_backward(
                *(gradient, x, weight, None, stride, padding, (1, 1), transposed, (0, 0), groups),
                (False, True, False),
            )[1]
        return of_x, of_weight, None, None, None, None


class GroupedConv2d(nn.Conv2d):
    """A 3x3 convolution in groups with bias, which keeps the size and the number of channels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        assert self.bias is not None
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        with torch.autocast(x.device.type, enabled=False):
            made = grouped_conv2d(x, self.weight.to(x.dtype), self.groups, padding=1)
            return made + self.bias.to(x.dtype)[:, None, None]
