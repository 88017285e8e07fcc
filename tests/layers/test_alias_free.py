"""Filters and layers without aliasing against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers_stylegan import lrelu
from torch import nn

from zoo.layers.alias_free import AliasFreeConv2d, Band, FourierInput
from zoo.layers.lowpass import FilteredLeakyReLU, design_lowpass


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# Filters


def kaiser(taps, width, rate):
    """Kaiser's window for a transition `width`, by his formulas."""
    attenuation = 2.285 * (taps - 1) * math.pi * width / (rate / 2) + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    else:
        above = max(attenuation - 21, 0)
        beta = 0.5842 * above**0.4 + 0.07886 * above
    ratio = 2 * np.arange(taps) / (taps - 1) - 1
    return np.i0(beta * np.sqrt(1 - ratio**2)) / np.i0(beta)


@pytest.mark.parametrize(
    ("taps", "cutoff", "width", "rate"), [(12, 2, 12, 32), (24, 5, 8, 64), (12, 30, 15, 128)]
)
def test_filters_are_sinc_in_kaisers_window(taps, cutoff, width, rate):
    places = (np.arange(taps) - (taps - 1) / 2) / rate
    want = np.sinc(2 * cutoff * places) * kaiser(taps, width, rate)
    got = design_lowpass(taps, cutoff, width, rate).double().numpy()
    np.testing.assert_allclose(got, want / want.sum(), atol=1e-6)


def test_radial_filters_are_jinc_in_a_square_window():
    taps, cutoff, width, rate = 12, 5.0, 8.0, 32
    places = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.sqrt(places[:, None] ** 2 + places[None] ** 2)
    angles = (np.arange(2000) + 0.5) / 2000 * np.pi  # J1 by its integral
    waves = angles - (2 * np.pi * cutoff * radius)[..., None] * np.sin(angles)
    window = kaiser(taps, width, rate)
    want = np.cos(waves).mean(-1) / (np.pi * radius) * np.outer(window, window)
    got = design_lowpass(taps, cutoff, width, rate, radial=True).double()
    np.testing.assert_allclose(got.numpy(), want / want.sum(), atol=1e-6)
    assert torch.equal(got, got.T)
    assert torch.equal(got, got.flip(0))


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize(
    ("up", "down", "inputs", "outputs"),
    [(2, 2, 20, 16), (4, 2, 18, 30), (2, 4, 34, 12), (2, 2, 26, 10)],
)
def test_leaky_relu_between_filters(up, down, inputs, outputs, radial):
    """Zeros between the samples, pads as published, filter, leaky ReLU, filter, every second."""
    first = design_lowpass(6 * up, 3.0, 4.0, 32)
    second = design_lowpass(6 * down, 4.0, 5.0, 32, radial)
    layer = FilteredLeakyReLU(first, up, second, down, inputs, outputs).double()
    x = torch.randn(2, 3, inputs, inputs, dtype=torch.float64, requires_grad=True)
    total = (outputs - 1) * down + 1 - inputs * up + len(first) + len(second) - 2
    low = (total + up) // 2
    spread = torch.zeros(2, 3, inputs * up, inputs * up, dtype=torch.float64)
    spread[:, :, ::up, ::up] = x
    spread = F.pad(spread, [low, total - low, low, total - low])
    kernel = torch.outer(first, first).double() * up**2
    wide = lrelu(F.conv2d(spread.flatten(0, 1)[:, None], kernel[None, None]))
    plain = second.double() if radial else torch.outer(second, second).double()
    want = F.conv2d(wide, plain[None, None], stride=down).view(2, 3, outputs, outputs)
    got = layer(x)
    torch.testing.assert_close(got, want)
    direction = torch.randn_like(got)
    slopes = [torch.autograd.grad((v * direction).sum(), x)[0] for v in (got, want)]
    torch.testing.assert_close(*slopes)


# Layers


BAND = Band(rate=16, cutoff=2.0, half_width=6.0, size=20, channels=4)


@pytest.mark.parametrize("kernel", [1, 3])
def test_layer_with_a_kernel_for_every_image(kernel):
    target = Band(rate=16, cutoff=3.0, half_width=5.0, size=18, channels=5)
    layer = AliasFreeConv2d(BAND, target, kernel, 6, radial=kernel == 1).double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    layer.magnitude_mean.fill_(2.5)
    x, w = torch.randn(3, 4, 20, 20).double(), torch.randn(3, 6).double()
    outputs = []
    for image, style in zip(x, w, strict=True):
        s = style @ layer.affine.weight.T / math.sqrt(6) + layer.affine.bias
        s = s / s.square().mean().sqrt()
        kernels = layer.weight / layer.weight.square().mean((1, 2, 3), keepdim=True).sqrt()
        kernels = kernels * s[None, :, None, None]
        kernels = kernels / (kernels.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        out = F.conv2d(image[None], kernels / math.sqrt(2.5), layer.bias, padding=kernel - 1)
        outputs.append(layer.activation(out))
    torch.testing.assert_close(layer(x, w), torch.cat(outputs))


def test_layer_to_the_image():
    target = Band(rate=16, cutoff=2.0, half_width=6.0, size=20, channels=3)
    layer = AliasFreeConv2d(BAND, target, 1, 6, to_image=True).double().eval()
    nn.init.normal_(layer.bias)
    x, w = torch.randn(2, 4, 20, 20).double(), torch.randn(2, 6).double()
    s = (w @ layer.affine.weight.T / math.sqrt(6) + 1) / math.sqrt(4)
    kernels = layer.weight[None, :, :, 0, 0] * s[:, None]
    want = torch.einsum("noi,nihw->nohw", kernels, x) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w), want)


def test_magnitudes_are_remembered_in_training():
    layer = AliasFreeConv2d(BAND, BAND, 1, 6)
    x, w = 3 * torch.randn(5, 4, 20, 20), torch.randn(5, 6)
    layer(x, w)
    keep = 0.5 ** (5 / 20_000)
    want = keep * 1.0 + (1 - keep) * x.square().mean()
    torch.testing.assert_close(layer.magnitude_mean, want)
    layer.eval()
    before = layer.magnitude_mean.clone()
    layer(x, w)
    assert torch.equal(layer.magnitude_mean, before)


def test_input_is_a_mixture_of_shifted_and_turned_waves():
    band = Band(rate=16, cutoff=2.0, half_width=6.0, size=6, channels=5)
    layer = FourierInput(band, 4).double()
    assert layer.frequencies.norm(dim=1).max() < 2
    w = torch.randn(2, 4).double()
    torch.testing.assert_close(*layer(w))  # no turn and no shift at the start
    nn.init.normal_(layer.affine.weight)
    layer.transform.copy_(torch.tensor([[0.8, -0.6, 0.1], [0.6, 0.8, -0.2], [0, 0, 1]]))
    got = layer(w)
    for n in range(2):
        t = w[n] @ layer.affine.weight.T / math.sqrt(4) + layer.affine.bias
        c, s, x, y = (t / t[:2].norm()).tolist()
        turn = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
        shift = torch.tensor([[1, 0, -x], [0, 1, -y], [0, 0, 1]], dtype=torch.float64)
        places = turn @ shift @ layer.transform
        for row, column in ((0, 0), (2, 5), (4, 1)):
            at = torch.tensor([(column - 2.5) / 16, (row - 2.5) / 16, 1.0]).double()
            q = (places @ at)[:2]
            waves = torch.sin(2 * math.pi * (layer.frequencies @ q + layer.phases))
            want = layer.weight @ waves / math.sqrt(5)
            torch.testing.assert_close(got[n, :, row, column], want)


def test_waves_beyond_the_rate_fade_out():
    band = Band(rate=16, cutoff=2.0, half_width=6.0, size=8, channels=1)
    layer = FourierInput(band, 4)
    layer.frequencies.copy_(torch.tensor([[1.0, 0.0]]))
    layer.phases.fill_(0.25)
    for factor, amplitude in ((2.0, 1.0), (5.0, 0.5), (8.0, 0.0)):  # 1 at 2 waves, 0 at 8
        layer.transform.copy_(torch.diag(torch.tensor([factor, factor, 1.0])))
        layer.transform[0, 2] = -factor * 0.5 / 16  # a crest on the pixel right of the middle
        got = layer(torch.zeros(1, 4))[0, 0, 0, 4] / layer.weight[0, 0]
        assert got.item() == pytest.approx(amplitude, abs=1e-5)
