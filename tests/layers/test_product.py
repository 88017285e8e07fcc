"""Products by oneDNN are those of `F.linear`, whatever this processor's measurement chooses."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo
from zoo.layers import product
from zoo.layers.equalized import EqualizedLinear
from zoo.layers.linear import Linear
from zoo.layers.transformer import ScaledLinear

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN"
)


@pytest.fixture
def onednn(monkeypatch):
    """Calls of oneDNN's product, which is taken whatever the measurement says."""
    calls = []

    def counted(x, weight, bias):
        calls.append((*x.shape, weight.shape[0]))
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

    monkeypatch.setattr(product, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(product, "_onednn", counted)
    monkeypatch.setattr(product, "FEWEST", 1)
    return calls


def test_torch_still_has_the_private_product():
    assert product.onednn_has_products()


def operands(*shape):
    torch.manual_seed(0)
    *rows, inputs, outputs = shape
    return [
        torch.randn(s, requires_grad=True) for s in ([*rows, inputs], [outputs, inputs], [outputs])
    ]


def first_and_second(function, x, weight, bias):
    """The output, its gradients, and those of a gradient penalty, in one list."""
    y = function(x, weight, bias)
    target = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    first = torch.autograd.grad((y.tanh() * target).sum(), (x, weight, bias), create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), (x, weight, bias))
    return [y, *first, *second]


@pytest.mark.parametrize("shape", [(7, 33, 65), (2, 3, 16, 40)])
def test_values_and_both_derivatives_are_those_of_linear(onednn, shape):
    made = operands(*shape)
    wide = [t.detach().double().requires_grad_() for t in made]
    truth = first_and_second(F.linear, *wide)
    for got, want in zip(first_and_second(product.linear, *made), truth, strict=True):
        torch.testing.assert_close(
            got.double(), want, rtol=1e-4, atol=1e-5 * want.abs().max().item()
        )
    assert len(onednn) > 3  # the gradients' products too


def test_frozen_operands_get_no_product(onednn):
    x, weight, bias = operands(8, 16, 4)
    product.linear(x.detach(), weight, bias).sum().backward()
    assert len(onednn) == 2
    assert x.grad is None


@pytest.mark.parametrize(
    "layer",
    [Linear(16, 8), Linear(16, 8, spectral_norm=True), EqualizedLinear(16, 8), ScaledLinear(16, 8),
     nn.Linear(16, 8)],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_every_linear_layer_takes_it(onednn, layer):
    layer = copy.deepcopy(layer).eval()
    want = layer.double()(torch.ones(4, 16, dtype=torch.float64))
    assert not onednn  # float64 is for MKL
    layer.float()
    product.route_products(layer)
    got = layer(torch.ones(4, 16))
    assert onednn == [(4, 16, 8)]
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-6)
    assert isinstance(copy.deepcopy(layer), type(layer))


def test_the_networks_of_a_model_are_routed(onednn):
    gan = zoo.GAN("mlp", "mlp", "bce", image_size=8, channels=1, num_classes=0)
    types = {type(m) for m in gan.modules() if isinstance(m, nn.Linear)}
    assert types == {product.ProductLinear}


def test_autocast_and_exporters_get_the_plain_product(onednn):
    layer = nn.Linear(16, 8)
    product.route_products(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.ones(4, 16)).dtype == torch.bfloat16
    exported = torch.export.export(layer, (torch.ones(4, 16),))
    assert "mkldnn" not in str(exported.graph)
    assert not onednn
    torch.testing.assert_close(exported.module()(torch.ones(4, 16)), layer(torch.ones(4, 16)))


@pytest.mark.parametrize(
    ("asked", "said"), [("mkl", "False"), ("onednn", "True"), ("blas", "blas")]
)
def test_the_variable_chooses(asked, said):
    run = subprocess.run(
        [sys.executable, "-c", "from zoo.layers import product; print(product.onednn_is_faster())"],
        env=os.environ | {product.SWITCH: asked}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said in (run.stdout if asked != "blas" else run.stderr)


def test_the_measurement_answers(monkeypatch):
    monkeypatch.delenv(product.SWITCH, raising=False)
    product.onednn_is_faster.cache_clear()
    with torch.device("meta"):  # as while a network is sketched
        assert product.onednn_is_faster() in (True, False)
    monkeypatch.setattr(product, "_ratio", lambda: 2.0)
    product.onednn_is_faster.cache_clear()
    assert product.onednn_is_faster()
    monkeypatch.setattr(product, "_ratio", lambda: 1.1)
    product.onednn_is_faster.cache_clear()
    assert not product.onednn_is_faster()
    product.onednn_is_faster.cache_clear()
