"""Convolutions under a second derivative: torch's values, in few operations."""

from __future__ import annotations

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from zoo.layers.convolution import GroupedConv2d, grouped_conv2d
from zoo.layers.derivatives import twice_differentiable
from zoo.layers.fir import FIR


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


LAYERS = [
    torch.nn.Conv2d(4, 6, 3, padding=1),
    torch.nn.Conv2d(4, 6, 4, stride=2, padding=(1, 2), bias=False),
    torch.nn.Conv2d(4, 6, 3, stride=(3, 1), dilation=(1, 2), groups=2),
    torch.nn.Conv2d(4, 6, 3, padding="same"),
    torch.nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
    torch.nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1),
    torch.nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, dilation=2, groups=2),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_every_convolution_of_torch_keeps_its_values_in_the_context(layer):
    layer = copy.deepcopy(layer).double()
    x = torch.randn(2, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    found = []
    for context in (twice_differentiable(), contextlib.nullcontext()):
        with context:
            out = layer(x).sigmoid()
        wanted = (x, *layer.parameters())
        first = torch.autograd.grad(out.square().sum(), wanted, create_graph=True)
        penalty = sum(gradient.square().sum() for gradient in first)
        found.append([out, *first, *torch.autograd.grad(penalty, wanted)])
    for mine, right in zip(*found, strict=True):
        torch.testing.assert_close(mine, right)


def test_what_follows_may_work_in_place_and_a_single_map_is_left_to_torch():
    layer = torch.nn.Conv2d(2, 3, 3)
    x = torch.randn(2, 2, 6, 6, requires_grad=True)
    with twice_differentiable():
        slope = torch.autograd.grad(F.relu_(layer(x)).sum(), x)[0]
        assert layer(x[0]).shape == (3, 4, 4)
    right = torch.autograd.grad(F.relu(layer(x)).sum(), x)[0]
    torch.testing.assert_close(slope, right)


def test_maps_without_numbers():
    """timm's networks are tried on the meta device."""
    layer = torch.nn.Conv2d(2, 3, 3, device="meta")
    x = torch.randn(1, 2, 6, 6, device="meta", requires_grad=True)
    with twice_differentiable():
        (slope,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    slope.sum().backward()
    assert slope.shape == x.shape


def test_frozen_weights_and_fixed_images_cost_nothing():
    layer = torch.nn.Conv2d(2, 3, 3).requires_grad_(False)
    x = torch.randn(1, 2, 6, 6)
    with twice_differentiable():
        assert not layer(x).requires_grad
        out = layer(x.requires_grad_())
        assert not any(shape == x.shape for shape in saved_shapes(out))
        layer.requires_grad_(True)
        assert layer(x.detach()).grad_fn.name() == "ConvolutionBackward0"


def test_what_a_fixed_filter_takes_is_not_kept():
    x = torch.randn(1, 3, 8, 8, requires_grad=True)
    for learned in (False, True):
        weight = torch.randn(3, 1, 4, 4, requires_grad=learned)
        out = grouped_conv2d(x, weight, 3)  # with which torch 2.11 drops what it saved
        assert (x.shape in saved_shapes(out)) == learned


def saved_shapes(output):
    """The shapes of the tensors that the nodes above `output` keep for the backward pass."""
    shapes, nodes = [], [output.grad_fn]
    while nodes:
        node = nodes.pop()
        shapes += [t.shape for t in getattr(node, "saved_tensors", ()) if t is not None]
        nodes += [n for n, _ in node.next_functions if n is not None]
    return shapes


def test_gradcheck_of_both_orders():
    x = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda *a: grouped_conv2d(*a, 2, 1, 1), (x, weight))


class Operations(TorchDispatchMode):
    """Notes the names of the convolutions and of their gradients."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation is torch.ops.aten.convolution.default:
            kernel = args[1].shape[2:]
            self.names.append("whole map" if kernel == args[0].shape[2:] else "convolution")
        if operation is torch.ops.aten.convolution_backward.default:
            self.names.append(f"gradient of {''.join('xwb'[i] for i in range(3) if args[-1][i])}")
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("layer", [GroupedConv2d(64, 32), FIR(down=True), FIR(up=True)])
def test_a_gradient_penalty_takes_no_operation_for_each_group(layer):
    x = torch.randn(1, 64, 8, 8, requires_grad=True)
    with Operations() as seen:
        (slope,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
    assert len(seen.names) <= 12


def test_a_gradient_penalty_takes_no_needless_operation():
    """Of the weights nothing is computed at first, and no kernel is a whole map later."""
    network = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Conv2d(4, 1, 3))
    images = torch.randn(2, 2, 8, 8, requires_grad=True)
    with Operations() as first, twice_differentiable():
        scores = network(images).tanh().sum()
        (slope,) = torch.autograd.grad(scores, images, create_graph=True)
    assert first.names == ["convolution"] * 4
    with Operations() as second:
        slope.square().sum().backward()
    assert "whole map" not in second.names
    assert all(p.grad is not None for p in network.parameters() if p.dim() > 1)


@pytest.mark.parametrize("layer", [GroupedConv2d(8, 4), torch.nn.Conv2d(8, 8, 3, padding=1)])
def test_half_precision_and_no_gradient(layer):
    x = torch.randn(2, 8, 6, 6)
    right = F.conv2d(x, layer.weight, layer.bias, padding=1, groups=layer.groups)
    torch.testing.assert_close(layer(x), right)
    with torch.autocast("cpu", torch.bfloat16), twice_differentiable():
        out = layer(x.requires_grad_())
    assert out.dtype == torch.bfloat16
    out.float().square().sum().backward()
    assert x.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    torch.testing.assert_close(out.float(), right, atol=0.05, rtol=0.05)
