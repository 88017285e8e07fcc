"""Reading between pixels is torch's `grid_sample`, with the second derivative of the formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from zoo.layers.sampling import read_at


def drawn(size):
    torch.manual_seed(0)
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    grid = torch.rand(2, 5, 4, 2, dtype=torch.float64) * 4 - 2  # some lie outside
    return x, grid


@pytest.mark.parametrize("size", [(6, 7), (1, 4), (1, 1)])
def test_values_and_gradients_are_those_of_torch(size):
    x, grid = drawn(size)
    out = read_at(x, grid)
    expected = F.grid_sample(x, grid, "bilinear", "reflection", align_corners=True)
    assert torch.equal(out, expected)
    weight = torch.randn_like(out)
    (slope,) = torch.autograd.grad((out * weight).sum(), x)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), x)
    assert torch.equal(slope, wanted)


@pytest.mark.parametrize("size", [(6, 7), (1, 4)])
def test_derivatives_of_both_orders(size):
    x, grid = drawn(size)
    assert torch.autograd.gradcheck(read_at, (x, grid))
    assert torch.autograd.gradgradcheck(lambda z: read_at(z, grid).pow(3), x)


def test_the_penalty_on_a_slope_equals_the_linear_map():
    """Reading is x A with a fixed A, so that the slope of |x A|^2 is known in closed form."""
    x, grid = drawn((4, 3))
    basis = torch.eye(12, dtype=torch.float64).view(12, 1, 4, 3)
    matrix = torch.stack(
        [read_at(basis, g.expand(12, *g.shape)).view(12, -1) for g in grid]
    )  # (N, 12, places)
    (slope,) = torch.autograd.grad(read_at(x, grid).square().sum(), x, create_graph=True)
    (found,) = torch.autograd.grad(slope.square().sum(), x)
    square = matrix @ matrix.mT  # the slope is 2 x A A', that of its square 8 x A A' A A'
    rows = x.detach().flatten(2)
    torch.testing.assert_close(found, (8 * rows @ square @ square).view_as(x))
