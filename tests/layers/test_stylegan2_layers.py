"""StyleGAN2's layers against plain references made from the formulas."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from helpers_stylegan import blur, insert_zeros, lrelu
from torch import nn

from zoo.layers.equalized import EqualizedConv2d, EqualizedLinear
from zoo.layers.fir import FIR
from zoo.layers.minibatch import MinibatchStandardDeviation, group_size
from zoo.layers.modulation import StyledConv2d, ToImage


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# Filters


def test_upsampling_is_zeros_between_the_pixels_and_then_the_filter():
    x = torch.randn(2, 3, 5, 6, dtype=torch.float64)
    want = blur(F.pad(insert_zeros(x), (1, 0, 1, 0)), 1, gain=2)
    torch.testing.assert_close(FIR(up=True).double()(x), want)


def test_downsampling_is_the_filter_and_then_every_second_pixel():
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(FIR(down=True).double()(x), blur(x, 1)[:, :, ::2, ::2])
    torch.testing.assert_close(FIR(padding=2).double()(x), blur(x, 2))


def test_filters_keep_the_mean_of_flat_maps():
    flat = torch.ones(1, 1, 16, 16)
    for fir in (FIR(up=True), FIR(down=True)):
        torch.testing.assert_close(
            fir(flat)[:, :, 2:-2, 2:-2],
            flat[:, :, :1, :1].expand(1, 1, *[s - 4 for s in fir(flat).shape[2:]]),
        )


# Equalised layers


def test_equalised_layers_scale_where_they_are_used():
    layer = EqualizedLinear(5, 7, lr=0.01, initial_bias=0.5, activate=True).double()
    x = torch.randn(3, 5, dtype=torch.float64)
    want = lrelu(x @ (0.01 * layer.weight / math.sqrt(5)).T + 0.01 * layer.bias)
    torch.testing.assert_close(layer(x), want)
    torch.testing.assert_close(0.01 * layer.bias, torch.full_like(layer.bias, 0.5))
    assert EqualizedLinear(400, 400, lr=0.01).weight.std().item() == pytest.approx(100, rel=0.02)

    conv = EqualizedConv2d(4, 6, 3, activate=True, gain=0.7).double()
    nn.init.normal_(conv.bias)
    x = torch.randn(2, 4, 5, 5, dtype=torch.float64)
    want = 0.7 * lrelu(F.conv2d(x, conv.weight / math.sqrt(4 * 9), conv.bias, padding=1))
    torch.testing.assert_close(conv(x), want)


@pytest.mark.parametrize("kernel", [1, 3])
def test_halving_convolutions_filter_before_they_skip(kernel):
    conv = EqualizedConv2d(3, 4, kernel, bias=False, down=True).double()
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64)
    kernels = conv.weight / math.sqrt(3 * kernel**2)
    want = F.conv2d(blur(x, 1 + kernel // 2), kernels, stride=2)
    assert want.shape == (2, 4, 4, 3)
    torch.testing.assert_close(conv(x), want)


def test_half_precision_is_clamped_and_wider_ones_are_not():
    conv = EqualizedConv2d(1, 1, 1, activate=True, gain=0.5)
    x = torch.full((1, 1, 2, 2), 1e6) * conv.weight.sign().detach()
    assert conv(x).max() > 256
    half = copy.deepcopy(conv).bfloat16()
    assert half(x.bfloat16()).max().item() == 128


# Modulation


def plain_styled_conv(layer, x, w, up):
    """A kernel of its own for every image, in a loop."""
    outputs = []
    for image, style in zip(x, w, strict=True):
        s = style @ (layer.affine.weight / math.sqrt(w.shape[1])).T + layer.affine.bias
        kernel = layer.weight / math.sqrt(layer.weight[0].numel()) * s[None, :, None, None]
        kernel = kernel / (kernel.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:  # the full convolution of the spread map, without its last row and column, then FIR
            spread = F.pad(insert_zeros(image[None])[:, :, :-1, :-1], [2] * 4)
            out = blur(F.conv2d(spread, kernel.flip(2, 3)), 1, gain=2)
        else:
            out = F.conv2d(image[None], kernel, padding=1)
        outputs.append(out)
    x = torch.cat(outputs)
    if layer.strength is not None:
        x = x + layer.strength * layer.noise_map
    return lrelu(x + layer.bias[:, None, None])


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize("up", [False, True])
def test_styled_convolution_and_its_gradients(up, noise):
    size = (8, 12) if up else (4, 6)
    layer = StyledConv2d(3, 5, 7, size, noise=noise, up=up).double().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    w = torch.randn(2, 7, dtype=torch.float64, requires_grad=True)
    out, want = layer(x, w), plain_styled_conv(layer, x, w, up)
    assert out.shape == (2, 5, *size)
    torch.testing.assert_close(out, want)
    wanted = [x, w, *layer.parameters()]
    direction = torch.randn_like(out)
    slopes = torch.autograd.grad((out * direction).sum(), wanted, create_graph=True)
    others = torch.autograd.grad((want * direction).sum(), wanted, create_graph=True)
    for slope, other in zip(slopes, others, strict=True):
        torch.testing.assert_close(slope, other)
    # What path length differentiates: the length of the gradient in w.
    second = torch.autograd.grad(slopes[1].square().sum(), [x, layer.weight, layer.affine.weight])
    plain = torch.autograd.grad(others[1].square().sum(), [x, layer.weight, layer.affine.weight])
    for slope, other in zip(second, plain, strict=True):
        torch.testing.assert_close(slope, other)


def test_demodulation_of_the_given_vector():
    """Kernel (1, -2) under style (2, 0.5) becomes (0.894427, -0.447214)."""
    layer = StyledConv2d(2, 1, 1, (1, 1), noise=False).double()
    with torch.no_grad():
        layer.weight.zero_()[0, :, 1, 1] = torch.tensor([1.0, -2.0])
        layer.affine.weight.zero_()
        layer.affine.bias.copy_(torch.tensor([2.0, 0.5]))
    x = torch.eye(2, dtype=torch.float64).view(2, 2, 1, 1)
    out = layer(x, torch.zeros(2, 1, dtype=torch.float64)).flatten() / math.sqrt(2)
    # The 1/sqrt(18) of the equalised learning rate leaves a trace of eps.
    want = torch.tensor([0.894427, -0.447214 * 0.2], dtype=torch.float64)
    torch.testing.assert_close(out, want, rtol=1e-5, atol=1e-6)


def test_to_image_is_not_demodulated():
    layer = ToImage(4, 3, 5).double()
    nn.init.normal_(layer.bias)
    x, w = torch.randn(2, 4, 3, 2).double(), torch.randn(2, 5).double()
    s = w @ layer.affine.weight.T / math.sqrt(5) + 1
    kernels = layer.weight[None] * s[:, None] / math.sqrt(4)
    want = torch.einsum("noi,nihw->nohw", kernels, x) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, w), want)


def test_large_styles_do_not_overflow_in_fp16():
    layer = StyledConv2d(4, 4, 4, (4, 4), noise=False)
    with torch.no_grad():
        layer.affine.bias.fill_(1e5)
    x, w = torch.randn(2, 4, 4, 4), torch.randn(2, 4)
    want = layer(x, w)
    layer.weight.data = layer.weight.data.half()
    layer.affine.float()
    # The convolution alone runs in half precision, as under autocast.
    with torch.autocast("cpu", torch.float16):
        got = layer.float()(x.half(), w)
    assert got.dtype == torch.float16
    torch.testing.assert_close(got.float(), want, rtol=0.02, atol=0.02)


# Minibatch standard deviation


def test_minibatch_standard_deviation_of_the_given_vector():
    x = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 0.0], [2.0, 2.0]])[:, :, None, None]
    out = MinibatchStandardDeviation(2)(x)
    assert out.shape == (4, 3, 1, 1)
    torch.testing.assert_close(out[:, :2], x)
    torch.testing.assert_close(out[:, 2].flatten(), torch.full((4,), 0.75))


def test_minibatch_standard_deviation_group_by_group():
    x = torch.randn(6, 2, 3, 4, dtype=torch.float64)
    out = MinibatchStandardDeviation(3)(x)
    for i in range(6):
        group = x[i % 2 :: 2]
        spread = ((group - group.mean(0)).square().mean(0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(out[i, 2], spread.expand(3, 4))


def test_minibatch_standard_deviation_of_equal_images_is_the_root_of_eps():
    x = torch.randn(1, 2, 3, 4).expand(4, -1, -1, -1)
    out = MinibatchStandardDeviation(2)(x)
    torch.testing.assert_close(out[:, 2], torch.full((4, 3, 4), 1e-4), atol=0, rtol=1e-5)


def test_groups_divide_the_batch():
    sizes = [(64, 32), (8, 4), (5, 4), (6, 4), (2, 4), (1, 4), (61, 32)]
    assert [group_size(*s) for s in sizes] == [32, 4, 5, 3, 2, 1, 61]
    for n in (1, 2, 5, 7):
        assert MinibatchStandardDeviation(4)(torch.randn(n, 2, 2, 2)).shape == (n, 3, 2, 2)
