"""Images read at places between their pixels, with gradients of any order.

torch's own `grid_sample` has no second derivative in torch 2.11, which penalties on the slope of D
ask of every augmentation. Where the places need no gradient none is missing: reading is linear in
the image, so that its backward pass is the transposed map and that one's is reading again.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_BILINEAR, _REFLECTION = 0, 2


def read_at(x: Tensor, grid: Tensor) -> Tensor:
    """`F.grid_sample(x, grid)`, bilinear, reflected at the border, corners aligned.

    Args:
        x: images (N, C, H, W).
        grid: places (N, H', W', 2) from -1 to 1 between the centres of the outer pixels, of the
            type of `x`; they get no gradient.

    Returns:
        (N, C, H', W').
    """
    return _Read.apply(x, grid)


class _Read(torch.autograd.Function):
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
    """The transpose of `_Read`: what was read at a place goes back to the pixels around it."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        image = gradient.new_zeros(1).expand(shape)  # its values matter to the places alone
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(
            gradient, image, grid, _BILINEAR, _REFLECTION, True, (True, False)
        )[0]
        return spread

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Read.apply(gradient, grid), None, None
