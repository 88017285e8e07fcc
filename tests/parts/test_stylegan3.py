"""StyleGAN3: published counts and bands, its blocks against plain references, its equivariance."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo.layers.alias_free as alias_free
import zoo.registry as registry
from zoo.core.errors import ZooError
from zoo.layers.alias_free import AliasFreeConv2d, Band, FourierInput
from zoo.layers.lowpass import FilteredLeakyReLU, design_lowpass
from zoo.layers.mapping import Mapping
from zoo.parts.generators.stylegan3 import Synthesis, bands
from zoo.training.ema import EMA

WIDE = {"t": (32768, 512), "r": (65536, 1024)}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def weights(network):
    return sum(p.numel() for p in network.parameters())


def tiny(image_size=64, **options):
    options = {"base": 1024, "max_channels": 12, "style_dim": 16, "layers": 6} | options
    return registry.create(
        "generator", "stylegan3", image_size=image_size, channels=3, latent_dim=8, **options
    )


def lrelu(x):
    return math.sqrt(2) * torch.where(x > 0, x, 0.2 * x)


# Counts and bands


@pytest.mark.parametrize(
    ("variant", "size", "classes", "expected"),
    [
        ("t", 64, 0, 37_768_199),
        ("t", 256, 0, 28_472_133),
        ("t", 512, 0, 24_873_519),
        ("t", 1024, 0, 22_313_167),
        ("r", 64, 0, 24_153_095),
        ("r", 256, 0, 18_816_387),
        ("r", 512, 0, 16_665_594),
        ("r", 1024, 0, 15_093_151),
        ("t", 64, 10, 38_035_975),
        ("r", 64, 10, 24_420_871),
    ],
)
def test_published_counts(variant, size, classes, expected):
    with torch.device("meta"):
        generator = registry.create(
            "generator",
            "stylegan3",
            image_size=size,
            channels=3,
            latent_dim=512,
            num_classes=classes,
            variant=variant,
        )
    assert weights(generator) == expected


@pytest.mark.parametrize(
    ("variant", "classes", "expected"),
    [
        ("t", 0, 37_768_199),
        ("r", 0, 24_153_095),
        ("t", 10, 38_035_975),
        ("r", 10, 24_420_871),
    ],
)
def test_published_counts_at_32_pixels(variant, classes, expected):
    """The generator refuses this size, at which the method does badly; its parts take it."""
    with torch.device("meta"):
        synthesis = Synthesis(bands(32, 3, 14, *WIDE[variant]), 512, turns=variant == "r")
        mapping = Mapping(512, 512, classes, layers=2, decay=0.998)
    assert weights(synthesis) + weights(mapping) == expected


def test_bands_at_256_pixels():
    plan = bands(256, 3, 14, *WIDE["t"])
    rates = [16] * 3 + [32] * 2 + [64] * 2 + [128] * 3 + [256] * 5
    cutoffs = [2, 2.83, 4, 5.66, 8, 11.3, 16, 22.6, 32, 45.3, 64, 90.5, 128, 128, 128]
    sizes = [36] * 3 + [52] * 2 + [84] * 2 + [148] * 3 + [276] * 3 + [256] * 2
    assert [band.rate for band in plan] == rates
    assert [band.cutoff for band in plan] == pytest.approx(cutoffs, rel=3e-3)
    assert [band.size for band in plan] == sizes
    assert [band.channels for band in plan] == [512] * 9 + [362, 256, 181, 128, 128, 3]
    widths = [band.channels for band in bands(256, 3, 14, *WIDE["r"])]
    assert widths == [1024] * 9 + [724, 512, 362, 256, 256, 3]
    # Filters fall off up to the stop band, or to half the rate where that is more.
    assert plan[0].half_width == pytest.approx(8 - 2)
    assert plan[12].half_width == pytest.approx(128 * 2**0.3 - 128)


def test_only_layers_below_the_critical_ones_are_radial():
    layers = tiny(variant="r", layers=8).synthesis.layers
    dims = [layer.activation.down_filter.dim() for layer in layers if layer.activation]
    assert dims == [2] * 6 + [1] * 2
    assert layers[-1].activation is None
    assert {layer.weight.shape[-1] for layer in layers} == {1}
    layers = tiny(layers=8).synthesis.layers
    assert [layer.weight.shape[-1] for layer in layers] == [3] * 8 + [1]


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


# Equivariance


def settled(variant):
    """Magnitudes as after long training."""
    generator = tiny(variant=variant, base=512, max_channels=6)
    keep = alias_free.MAGNITUDE_HALF_LIFE
    alias_free.MAGNITUDE_HALF_LIFE = 1e-9
    try:
        with torch.no_grad():
            generator(torch.randn(4, 8))
    finally:
        alias_free.MAGNITUDE_HALF_LIFE = keep
    return generator.eval()


def decibels(images, want):
    """Peak signal to noise, of a peak of two standard deviations on either side."""
    middle = slice(12, -12)
    error = (images - want)[:, :, middle, middle].square().mean()
    return (10 * torch.log10((4 * want.std()) ** 2 / error)).item()


def blunt(generator):
    """The same network with nearest neighbours and means in place of its filters."""
    generator = copy.deepcopy(generator)
    for module in generator.modules():
        if isinstance(module, FilteredLeakyReLU):
            for name, factor in (("up_filter", module.up), ("down_filter", module.down)):
                old = getattr(module, name)
                box = torch.zeros(len(old), dtype=old.dtype)
                centre = len(old) // 2
                box[centre - factor // 2 : centre + factor // 2] = 1 / factor
                old.copy_(torch.outer(box, box) if old.dim() == 2 else box)
    return generator


def shifted(images, pixels, taps=40):
    """To the right by a fraction of a pixel: sinc in a Kaiser window."""
    places = torch.arange(-taps, taps + 1)
    window = torch.kaiser_window(2 * taps + 1, periodic=False, beta=6.0)
    kernel = torch.sinc(places + pixels) * window
    channels = images.shape[1]
    padded = F.pad(images, (taps, taps, 0, 0))
    return F.conv2d(padded, kernel.expand(channels, 1, 1, -1), groups=channels)


@pytest.mark.parametrize("variant", ["t", "r"])
@torch.no_grad()
def test_whole_pixel_shifts(variant):
    """An error below 1/300 of the range (50 dB); with blunt filters ten times that (20 dB)."""
    generator, z = settled(variant), torch.randn(1, 8)
    results = []
    for network in (generator, blunt(generator)):
        still = network(z)
        network.move(right=5 / 64, down=-3 / 64)
        results.append(decibels(network(z), torch.roll(still, (-3, 5), (2, 3))))
    assert results[0] > 50
    assert results[0] - results[1] > 20


@pytest.mark.parametrize("variant", ["t", "r"])
@torch.no_grad()
def test_half_pixel_shifts(variant):
    generator, z = settled(variant), torch.randn(1, 8)
    results = []
    for network in (generator, blunt(generator)):
        still = network(z)
        network.move(right=0.5 / 64)
        results.append(decibels(network(z), shifted(still, 0.5)))
    assert results[0] > 40
    assert results[0] - results[1] > 15


@torch.no_grad()
def test_right_angles_of_the_variant_that_turns():
    z = torch.randn(1, 8)
    for variant, turns in (("r", True), ("t", False)):
        generator = settled(variant)
        still = generator(z)
        generator.move(turn=90)
        turned = torch.rot90(still, 1, (2, 3))  # anticlockwise
        assert (decibels(generator(z), turned) > 100) == turns
        generator.move()
        assert torch.equal(generator(z), still)


# Networks


def test_the_average_takes_all_buffers_over():
    generator = tiny()
    ema = EMA(generator, half_life=1e9, rampup=None)
    with torch.no_grad():
        for buffer in generator.buffers():
            buffer.normal_()
    ema.update(4, 0)
    names = {name.rsplit(".")[-1] for name, _ in generator.named_buffers()}
    assert {"magnitude_mean", "up_filter", "down_filter", "frequencies", "phases"} <= names
    for (name, mine), theirs in zip(generator.named_buffers(), ema.module.buffers(), strict=True):
        assert torch.equal(mine, theirs), name


def test_images_and_truncation():
    generator = tiny(num_classes=3).eval()
    z, y = torch.randn(2, 8), torch.tensor([0, 2])
    generator.measure_styles(200)
    assert generator.map(z, y).shape == (2, 6 + 2, 16)
    images = generator.synthesize(generator.truncate(z, y, 0.5), y)
    assert images.shape == (2, 3, 64, 64)
    assert images.isfinite().all()


@pytest.mark.parametrize(
    ("size", "nearest"), [(32, 64), (48, 64), (80, 64), (100, 128), (200, 256), ((64, 128), 128)]
)
def test_sizes_that_are_no_powers_of_two_are_refused(size, nearest):
    with pytest.raises(ZooError, match=f"stylegan3 .* nearest is {nearest}"):
        tiny(size)


def test_refusals():
    with pytest.raises(ZooError, match="layers=3 must be 4 or more"):
        tiny(layers=3)
    with pytest.raises(ValueError, match="too small"):
        FilteredLeakyReLU(torch.ones(12), 2, torch.ones(12), 2, 10, 12)


def test_exported_programs_give_the_same_images():
    generator = tiny(base=256, max_channels=4, layers=4).eval()
    z = torch.randn(2, 8)
    program = torch.export.export(generator, (z,)).module()
    torch.testing.assert_close(program(z), generator(z), rtol=0, atol=1e-4)
