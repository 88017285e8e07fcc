"""FastGAN: counts, blocks in plain functions, decoders, and Projected GAN's generator."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers_contracts import update_of

import zoo
from zoo.core.errors import ZooError
from zoo.layers.fastgan import Decoder, DownBlock, GeneratorBlock, SkipExcitation, Start
from zoo.layers.perceptual import PerceptualDistance, unit_distance
from zoo.parts.discriminators.fastgan import quarter


def count(network):
    return sum(p.numel() for p in network.parameters())


def fastgan_g(size=64, latent_dim=12, channels=3, **options):
    torch.manual_seed(0)
    return zoo.create(
        "generator", "fastgan", image_size=size, channels=channels, latent_dim=latent_dim, **options
    )


def fastgan_d(size=64, channels=3, **options):
    torch.manual_seed(0)
    return zoo.create("discriminator", "fastgan", image_size=size, channels=channels, **options)


@pytest.mark.parametrize(
    ("size", "g", "d"),
    [
        (256, 29_127_846, 11_526_160),
        (512, 29_174_392, 11_526_496),
        (1024, 29_176_512, 11_528_192),
    ],
)
def test_published_counts(size, g, d):
    with torch.device("meta"):
        assert count(fastgan_g(size, 256)) == g
        assert count(fastgan_d(size, reconstruction="pixels")) == d


@pytest.mark.parametrize(
    ("variant", "classes", "parameters"),
    [
        ("projected", 0, 105_684_175),
        ("projected", 1000, 110_527_689),
        ("projected_lite", 0, 79_354_307),
        ("projected_lite", 1000, 81_904_067),
    ],
)
def test_counts_of_projected_gan(variant, classes, parameters):
    with torch.device("meta"):
        network = fastgan_g(256, 256, variant=variant, num_classes=classes, base_channels=128)
    assert count(network) == parameters


def normed(layer):
    """Weight over its largest singular value, by the vectors that the layer holds."""
    matrix = layer.weight.flatten(1)
    sigma = layer.spectral_norm.u @ matrix @ layer.spectral_norm.v
    return layer.weight / sigma


def batch_norm(layer, h):
    return F.batch_norm(h, layer.running_mean, layer.running_var, layer.weight, layer.bias)


def test_the_start_is_a_transposed_convolution():
    start = Start(5, 6, 4).double().eval()
    z = torch.randn(3, 5, dtype=torch.double)
    weight = normed(start).transpose(0, 1)
    torch.testing.assert_close(start(z), F.conv_transpose2d(z[:, :, None, None], weight))


@pytest.mark.parametrize("plain", [True, False])
def test_generator_block(plain):
    torch.manual_seed(0)
    block = GeneratorBlock(4, 3, 12, plain).double().eval()
    for noise in (block.noise1, block.noise2):
        if noise is not None:
            torch.nn.init.normal_(noise.weight)
    x = torch.randn(2, 4, 6, 6, dtype=torch.double)

    def glu(h):
        first, second = h.chunk(2, 1)
        return first * torch.sigmoid(second)

    h = F.conv2d(F.interpolate(x, scale_factor=2), normed(block.conv1), padding=1)
    if not plain:
        h = h + block.noise1.weight * block.noise1.noise_map
    h = glu(batch_norm(block.norm1.norm, h))
    if not plain:
        h = (
            F.conv2d(h, normed(block.conv2), padding=1)
            + block.noise2.weight * block.noise2.noise_map
        )
        h = glu(batch_norm(block.norm2.norm, h))
    torch.testing.assert_close(block(x), h)


def test_norms_follow_the_class():
    torch.manual_seed(0)
    block = GeneratorBlock(4, 3, 12, plain=True, embedding=5).double()
    x, c = torch.randn(2, 4, 6, 6).double(), torch.randn(2, 5).double()
    block(x, c)
    block.eval()
    h = F.conv2d(F.interpolate(x, scale_factor=2), normed(block.conv1), padding=1)
    norm = block.norm1
    h = (h - norm.norm.running_mean[:, None, None]) / (
        norm.norm.running_var[:, None, None] + 1e-5
    ).sqrt()
    h = (1 + norm.gain(c))[:, :, None, None] * h + norm.bias(c)[:, :, None, None]
    torch.testing.assert_close(block(x, c), F.glu(h, 1))


@pytest.mark.parametrize("side", [4, 7, 16])
def test_skip_excitation(side):
    torch.manual_seed(0)
    layer = SkipExcitation(5, 3).double().eval()
    small = torch.randn(2, 5, side, side, dtype=torch.double)
    big = torch.randn(2, 3, 16 * side, 16 * side, dtype=torch.double)
    h = F.conv2d(F.adaptive_avg_pool2d(small, 4), normed(layer.conv1))
    assert h.shape == (2, 3, 1, 1)
    h = F.conv2d(h * torch.sigmoid(h), normed(layer.conv2))
    torch.testing.assert_close(layer(small, big), big * torch.sigmoid(h))


def test_down_block():
    torch.manual_seed(0)
    block = DownBlock(3, 4).double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.double)

    def step(part, h, stride=1, padding=0):
        h = F.conv2d(h, normed(part[0]), stride=stride, padding=padding)
        return F.leaky_relu(batch_norm(part[1], h), 0.2)

    main = step(block.main[1], step(block.main[0], x, 2, 1), 1, 1)
    torch.testing.assert_close(block(x), (main + step(block.direct, F.avg_pool2d(x, 2))) / 2)


def test_noise_acts_in_training_only():
    network = fastgan_g(32, base_channels=4)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "noise" in name:
                parameter.fill_(1.0)
    z = torch.randn(4, 12)
    assert not torch.equal(network(z), network(z))
    network.eval()
    assert torch.equal(network(z), network(z))


def test_blocks_alternate_and_far_maps_excite():
    with torch.device("meta"):
        network = fastgan_g(512)
    assert [block.conv2 is None for block in network.blocks] == [False, True] * 3 + [False]
    pairs = {4 * 2 ** (int(to) - 4): 4 * 2 ** int(to) for to in network.excitations}
    assert pairs == {4: 64, 8: 128, 16: 256, 32: 512}


def test_side_image_and_bounds():
    network = fastgan_g(256, base_channels=4)
    z = torch.randn(2, 12)
    assert network.side_image(z).shape == (2, 3, 128, 128)
    assert not network.to_side.weight.requires_grad
    assert not network.tanh
    with torch.device("meta"):
        assert fastgan_g(1024).tanh
    assert fastgan_g(32, base_channels=4).side_image(z) is None


def test_projected_gan_normalises_latents():
    network = fastgan_g(32, base_channels=4, variant="projected").eval()
    z = torch.randn(2, 12)
    torch.testing.assert_close(network(z), network(5 * z), rtol=1e-4, atol=1e-5)


def test_quarters():
    maps = torch.arange(2 * 16.0).view(2, 1, 4, 4)
    got = quarter(maps, torch.tensor([1, 2]))
    assert torch.equal(got, torch.stack([maps[0, :, :2, 2:], maps[1, :, 2:, :2]]))


@pytest.mark.parametrize("size", [32, 256])
def test_reconstruction(size):
    """The term by its parts, with one of the four quarters of every image."""
    network = fastgan_d(size, base_channels=4, decoder_channels=2, reconstruction="pixels").eval()
    x = torch.rand(2, 3, size, size) * 2 - 1
    update = update_of(network, x, torch.zeros(2).long())
    torch.manual_seed(3)
    got = network.auxiliary(update)["reconstruction"]
    torch.manual_seed(3)
    which = torch.randint(4, (2,))
    side = min(size, 128)
    whole, middle = network._trunk(x)
    assert whole.shape[-1] == 8
    assert middle.shape[-1] == 16
    half = size // 2
    target = F.avg_pool2d(x, size // side)
    parts = torch.stack(
        [
            x[i, :, half * (k // 2) :, half * (k % 2) :][:, :half, :half]
            for i, k in enumerate(which.tolist())
        ]
    )
    if half < side:
        parts = F.interpolate(parts, (side, side), mode="bilinear")
    small = network.small(F.avg_pool2d(x, 2))
    wanted = [
        (network.decoders["whole"](whole), target),
        (network.decoders["small"](small), target),
        (network.decoders["quarter"](quarter(middle, which)), parts),
    ]
    assert all(a.shape == b.shape == (2, 3, side, side) for a, b in wanted)
    torch.testing.assert_close(got, sum((a - b).abs().mean() for a, b in wanted))
    update.side = "generator"
    assert network.auxiliary(update) == {}


def test_scores_are_five_by_five_twice():
    network = fastgan_d(256, base_channels=4, reconstruction="none").eval()
    with torch.no_grad():
        assert network(torch.randn(1, 3, 256, 256)).shape == (1, 50)


def test_decoder_is_bounded_and_of_four_times_four():
    decoder = Decoder(6, 3, 2, 8, 4)
    out = decoder(torch.randn(2, 6, 16, 16))
    assert out.shape == (2, 3, 128, 128)
    assert out.abs().max() <= 1


def test_distance_in_features():
    """On the package's EfficientNet-Lite0: no distance to itself, gradients to the image alone."""
    torch.manual_seed(0)
    distance = PerceptualDistance("discriminator fastgan")
    x = torch.rand(2, 1, 64, 64).requires_grad_()
    torch.testing.assert_close(distance(x, x.detach()), torch.zeros(2))
    distance(x, x.detach().flip(3)).sum().backward()
    assert x.grad.any()
    assert list(distance.parameters()) == []


def test_unit_distance_by_hand():
    a, b = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[4.0, 3.0], [0.0, 2.0]])
    got = unit_distance([a[:, :, None, None]], [b[:, :, None, None]])
    torch.testing.assert_close(got, torch.tensor([0.08, 2.0]))


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_sizes_name_the_nearest(kind):
    make = fastgan_g if kind == "generator" else fastgan_d
    with pytest.raises(ZooError, match=f"{kind} fastgan cannot work at image_size=100: .* is 96"):
        make(100)


def test_soft_hinge():
    """Margins uniform in (0.8, 1), of each score on its own."""
    torch.manual_seed(0)
    soft = zoo.create("loss", "hinge", soft=0.2)
    scores = torch.zeros(40_000)
    values = soft.discriminator(scores, scores - 2)  # fakes are beyond every margin
    assert values.min() >= 0.8
    assert values.max() <= 1
    # the mean of 40,000 uniform numbers of standard deviation 0.2 / sqrt(12)
    assert abs(values.mean() - 0.9) < 5 * 0.2 / 12**0.5 / 200
    assert torch.equal(soft.generator(scores + 1), -(scores + 1))
    plain = zoo.create("loss", "hinge")
    assert torch.equal(plain.discriminator(scores, scores - 2), torch.ones_like(scores))
    with pytest.raises(ZooError, match="soft=2"):
        zoo.create("loss", "hinge", soft=2)
