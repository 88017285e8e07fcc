"""StyleGAN3: published counts and bands, its blocks against plain references, its equivariance."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

import zoo.layers.alias_free as alias_free
import zoo.registry as registry
from zoo.core.errors import ZooError
from zoo.layers.lowpass import FilteredLeakyReLU
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
