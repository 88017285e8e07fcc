"""Convolutions with a fast second derivative, as gradient penalties need.

For a second derivative with respect to the weights, torch convolves with whole maps as kernels, and
in groups one by one. Here the gradient with respect to the input is itself a convolution, so that
each part takes one ordinary operation. The gradient with respect to the weights is a node of its
own, which autograd skips as long as a penalty differentiates with respect to images only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zoo.layers.precision import autocasts, full_precision

Pair = tuple[int, int]
"""One number for rows and one for columns."""


class Geometry(NamedTuple):
    """The settings of a convolution, as in `F.conv2d` and `F.conv_transpose2d`."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    transposed: bool = False
    output_padding: Pair = (0, 0)
    groups: int = 1

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Convolve with torch's operation."""
        return torch.convolution(x, weight, bias, *self)

    def adjoint(self, gradient: Tensor, weight: Tensor, sides: Pair) -> Tensor:
        """Return the gradient with respect to the input, whose maps have these `sides`."""
        if self.transposed:
            reverse = self._replace(transposed=False, output_padding=(0, 0))
            return reverse.convolve(gradient, weight)
        # Rows and columns of the input that no stride reached have no gradient.
        rest = [
            side - ((output - 1) * step - 2 * zeros + spread * (taps - 1) + 1)
            for side, output, taps, step, zeros, spread in zip(
                *(sides, gradient.shape[2:], weight.shape[2:]),
                *(self.stride, self.padding, self.dilation),
                strict=True,
            )
        ]
        reverse = self._replace(transposed=True, output_padding=(rest[0], rest[1]))
        return reverse.convolve(gradient, weight)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Return what torch's convolution does, for maps (N, C, H, W) and weights of one dtype."""
    if not (x.requires_grad and torch.is_grad_enabled()) or torch.compiler.is_compiling():
        return geometry.convolve(x, weight, bias)
    with torch.no_grad():
        output = geometry.convolve(x, weight, bias)
    below = None
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        below = _OfWeights.apply(weight, bias, [x, output], geometry)
    result: Tensor = _OfInput.apply(x, weight, below, [output], geometry)
    return result


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
    return conv2d(x, weight, None, Geometry(*pairs, transposed=transposed, groups=groups))


class _OfWeights(torch.autograd.Function):
    """The node of the weights, with an output that stands for the convolution's.

    Tensors in lists have no edges in the graph: while only the images' gradient is asked for,
    autograd does not come here.
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, bias: Tensor | None, tensors: list[Tensor], geometry: Geometry
    ) -> Tensor:
        x, output = tensors
        ctx.save_for_backward(x, weight)
        ctx.outputs = None if bias is None else list(bias.shape)
        ctx.geometry = geometry
        return output.new_empty(()).expand_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        wanted = (False, *ctx.needs_input_grad[:2])
        _, of_weight, of_bias = torch.ops.aten.convolution_backward(
            gradient, x, weight, ctx.outputs, *ctx.geometry, wanted
        )
        return of_weight, of_bias, None, None


class _OfInput(torch.autograd.Function):
    """The node of the input, above that of the weights."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        below: Tensor | None,
        output: list[Tensor],
        geometry: Geometry,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.sides = x.shape[2:]
        ctx.geometry = geometry
        return output[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        (weight,) = ctx.saved_tensors
        with full_precision(gradient.device):  # which would convert the tensors anew
            of_x = ctx.geometry.adjoint(gradient, weight, ctx.sides)
        return of_x, None, gradient if ctx.needs_input_grad[2] else None, None, None


class FastSecondDerivatives(TorchFunctionMode):
    """A context in which each 2d convolution of torch, plugins' too, is differentiated as here."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if function is torch.conv2d:
            return _conv2d(*args, **(kwargs or {}))
        if function is torch.conv_transpose2d:
            return _conv_transpose2d(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str) or input.dim() != 4:
        return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)
    geometry = Geometry(_pair(stride), _pair(padding), _pair(dilation), groups=groups)
    return _autocast(input, weight, bias, geometry)


def _conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    if input.dim() != 4:
        return torch.conv_transpose2d(
            input, weight, bias, stride, padding, output_padding, groups, dilation
        )
    pairs = _pair(stride), _pair(padding), _pair(dilation)
    return _autocast(input, weight, bias, Geometry(*pairs, True, _pair(output_padding), groups))


def _pair(numbers: Any) -> Pair:
    """One number or a sequence of one or two, as torch takes them."""
    rows, *columns = (numbers,) if isinstance(numbers, int) else numbers
    return rows, columns[0] if columns else rows


def _autocast(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Convolve in the data type that autocast gives to convolutions."""
    if autocasts(x.device) and x.dtype != torch.float64:  # which autocast leaves alone
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    with full_precision(x.device):
        return conv2d(x, weight, bias, geometry)


class GroupedConv2d(nn.Conv2d):
    """A grouped 3x3 convolution with bias, which keeps the size and the number of channels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return _conv2d(x, self.weight, self.bias, padding=1, groups=self.groups)
