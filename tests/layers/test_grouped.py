"""Convolutions in groups under a second derivative: torch's values, in few operations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.layers.fir import FIR
from zoo.layers.grouped import GroupedConv2d, grouped_conv2d


def torchs(x, weight, groups, stride, padding, transposed):
    convolve = F.conv_transpose2d if transposed else F.conv2d
    return convolve(x, weight, stride=stride, padding=padding, groups=groups)


CASES = [
    ((2, 4, 6, 5), (4, 2, 3, 3), 2, 1, 1, False),
    ((2, 3, 6, 8), (3, 1, 4, 4), 3, 2, 1, False),
    ((1, 3, 7, 6), (3, 1, 3, 3), 3, 2, 0, False),  # rows that no stride reaches
    ((2, 3, 4, 5), (3, 1, 4, 4), 3, 2, 1, True),
    ((2, 3, 7, 5), (3, 1, 4, 1), 3, (2, 1), (1, 0), False),  # a filter of rows alone
    ((2, 3, 4, 5), (3, 1, 1, 4), 3, (1, 2), (0, 1), True),
]


@pytest.mark.parametrize(("shape", "kernel", "groups", "stride", "padding", "transposed"), CASES)
def test_values_and_first_two_derivatives_are_torchs(
    shape, kernel, groups, stride, padding, transposed
):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(kernel, generator=random, dtype=torch.float64, requires_grad=True)
    found = []
    for function in (grouped_conv2d, torchs):
        out = function(x, weight, groups, stride, padding, transposed)
        first = torch.autograd.grad(out.pow(3).sum(), (x, weight), create_graph=True)
        penalty = first[0].square().sum() + first[1].square().sum()
        found.append([out, *first, *torch.autograd.grad(penalty, (x, weight))])
    for mine, right in zip(*found, strict=True):
        torch.testing.assert_close(mine, right)


def test_what_a_fixed_filter_takes_is_not_kept():
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    for learned in (False, True):
        weight = torch.randn(3, 1, 4, 4, requires_grad=learned)
        out = grouped_conv2d(x, weight, 3)  # with which torch 2.11 drops what it saved
        kept = out.grad_fn.saved_tensors
        assert any(t is not None and t.shape == x.shape for t in kept) == learned


def test_gradcheck_of_both_orders():
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda *a: grouped_conv2d(*a, 2, 1, 1), (x, weight))


class Convolutions(TorchDispatchMode):
    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += "convolution" in str(operation)
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("layer", [GroupedConv2d(64, 32), FIR(down=True), FIR(up=True)])
def test_a_gradient_penalty_takes_no_operation_for_each_group(layer):
    x = torch.randn(1, 64, 8, 8, requires_grad=True)
    with Convolutions() as seen:
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
    assert seen.count <= 12


def test_half_precision_and_no_gradient():
    layer = GroupedConv2d(8, 4)
    x = torch.randn(2, 8, 6, 6)
    right = F.conv2d(x, layer.weight, layer.bias, padding=1, groups=4)
    torch.testing.assert_close(layer(x), right)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x.requires_grad_())
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert x.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(out.float(), right, atol=0.05, rtol=0.05)
