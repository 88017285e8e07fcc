"""Images sampled between their pixels, with gradients of any order.

torch's own `grid_sample` has no second derivative in torch 2.11, but gradient penalties need one
through every augmentation. It is not needed for positions without gradient: sampling is linear in
the image, so the backward pass is the transposed map, whose own backward pass is sampling again.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_BILINEAR, _REFLECTION = 0, 2


def read_at(x: Tensor, grid: Tensor) -> Tensor:
    """Return `F.grid_sample(x, grid)`, bilinear, reflected at the border, with aligned corners.

    Args:
        x: images (N, C, H, W).
        grid: positions (N, H', W', 2) in the dtype of `x`, where -1 and 1 are the centres of the
            outermost pixels; they get no gradient.

    Returns:
        (N, C, H', W').
    """
    return _Read.apply(x, grid)


class _Read(torch.autograd.Function):
    """Sampling, with a backward pass that can itself be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = x.shape
        return F.grid_sample(x, grid, "bilinear", "reflection", align_corners=True)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Spread.apply(gradient, grid, ctx.shape), None


class _Spread(torch.autograd.Function):
    """The transpose of `_Read`: adds the value at each position to the pixels around it."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        image = gradient.new_zeros(1).expand(shape)  # only the grid's gradient depends on values
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            gradient, image, grid, _BILINEAR, _REFLECTION, True, (True, False)
        )[0]
        return spread

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Read.apply(gradient, grid), None, None
