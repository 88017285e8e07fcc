"""StyleGAN2: published counts, and its blocks against plain references made from the formulas."""

from __future__ import annotations

import math

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from helpers_stylegan import blur, lrelu, tiny
from torch import nn

import zoo.registry as registry
from zoo.contracts.head import Trunk
from zoo.core.errors import ZooError
from zoo.layers.fir import FIR
from zoo.layers.mapping import LabelMapping, Mapping, mix_styles
from zoo.layers.modulation import StyledConv2d, ToImage
from zoo.layers.norm import second_moment_norm
from zoo.parts.generators.stylegan2 import SynthesisBlock
from zoo.training.ema import EMA


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def count(kind, name="stylegan2", **options):
    if kind == "generator":
        options = {"latent_dim": 512} | options
    with torch.device("meta"):
        network = registry.create(kind, name, **({"channels": 3} | options))
    return sum(p.numel() for p in network.parameters())


# Counts


@pytest.mark.parametrize(
    ("size", "options", "g_options", "d_options", "expected"),
    [
        (32, {"num_classes": 10}, {}, {}, (20_215_315, 23_089_664)),
        (32, {}, {}, {}, (19_947_539, 20_720_641)),
        (32, {"num_classes": 10}, {}, {"architecture": "resnet"}, (20_215_315, 23_876_096)),
        (32, {}, {}, {"architecture": "resnet"}, (19_947_539, 21_507_073)),
        (64, {"base": 16384}, {"mapping_layers": 8}, {}, (23_819_544, 23_407_361)),
        (128, {"base": 16384}, {"mapping_layers": 8}, {}, (24_525_213, 23_882_369)),
        (256, {"base": 16384}, {"mapping_layers": 8}, {}, (24_767_458, 24_001_089)),
        (256, {}, {"mapping_layers": 8}, {}, (30_034_338, 28_864_129)),
        (512, {}, {"mapping_layers": 8}, {}, (30_276_583, 28_982_849)),
        (1024, {}, {"mapping_layers": 8}, {}, (30_370_060, 29_012_513)),
    ],
)
def test_published_counts(size, options, g_options, d_options, expected):
    generator = count("generator", image_size=size, **options, **g_options)
    discriminator = count("discriminator", image_size=size, **options, **d_options)
    assert (generator, discriminator) == expected


# Mapping


def test_second_moment_norm_of_the_given_vector():
    got = second_moment_norm(torch.tensor([[1.0, 2.0, -1.0]]))
    want = torch.tensor([[0.707107, 1.414214, -0.707107]])
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("classes", [0, 3])
def test_mapping(classes):
    mapping = Mapping(5, 6, classes, layers=2, decay=0.9).double()
    for parameter in mapping.parameters():
        nn.init.normal_(parameter, std=10)
    z, y = torch.randn(4, 5).double(), torch.tensor([0, 2, 2, 0])

    def normed(v):
        return v / (v.square().mean(1, keepdim=True) + 1e-8).sqrt()

    x = normed(z)
    if classes:
        embedded = mapping.embed.weight.T[y] / math.sqrt(classes) + mapping.embed.bias
        x = torch.cat([x, normed(embedded)], 1)
    for layer in mapping.layers:
        x = lrelu(0.01 * (x @ layer.weight.T / math.sqrt(x.shape[1]) + layer.bias))
    torch.testing.assert_close(mapping(z, y), x)
    if classes:
        want = torch.stack([0.1 * x[[0, 3]].mean(0), 0 * x[0], 0.1 * x[[1, 2]].mean(0)])
    else:
        want = 0.1 * x.mean(0, keepdim=True)
    torch.testing.assert_close(mapping.style_mean, want.detach())


def test_label_mapping_and_head():
    head = registry.create(
        "head",
        "stylegan2",
        trunk=Trunk(features=5, num_classes=3, image_size=16),
        width=6,
        layers=2,
    ).double()
    y, features = torch.tensor([0, 2]), torch.randn(2, 5).double()
    x = head.mapping.embed.weight.T[y] / math.sqrt(3) + head.mapping.embed.bias
    x = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for layer in head.mapping.layers:
        x = lrelu(0.01 * (x @ layer.weight.T / math.sqrt(6) + layer.bias))
    want = ((features @ head.project.weight.T + head.project.bias) * x).sum(1) / math.sqrt(6)
    torch.testing.assert_close(head(features, y), want)
    assert isinstance(head.mapping, LabelMapping)


def test_truncation_moves_styles_to_the_mean_of_their_class():
    generator = tiny(num_classes=3).eval()
    generator.mapping.style_mean.normal_()
    z, y = torch.randn(4, 12), torch.tensor([0, 1, 2, 1])
    w = generator.map(z, y)
    mean = generator.mapping.style_mean[y][:, None]
    got = generator.truncate(z, y, 0.7)
    torch.testing.assert_close(got, mean + 0.7 * (w - mean))
    torch.testing.assert_close(generator.truncate(z, y, 1.0), w)
    of_all = generator.mapping.style_mean.mean(0)
    got = generator.truncate(z, y, 0.0, per_class=False)
    torch.testing.assert_close(got, of_all.expand_as(got))
    with pytest.raises(ZooError, match="from 0 to 1"):
        generator.truncate(z, y, 1.5)
    # (1, -2, 0.5) at psi = 0.7 from the mean 0.1 is (0.73, -1.37, 0.38).
    vector = torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(0.1 + 0.7 * (vector - 0.1), torch.tensor([0.73, -1.37, 0.38]))


def test_measured_means_are_those_of_the_mapping():
    generator = tiny(num_classes=2).eval()
    generator.measure_styles(samples=500, seed=3)
    z = torch.randn(500, 12, generator=torch.Generator().manual_seed(3))
    for label in range(2):
        want = generator.map(z, torch.full((500,), label))[:, 0].mean(0)
        torch.testing.assert_close(generator.mapping.style_mean[label], want)


def test_the_average_takes_the_mean_style_over():
    generator = tiny()
    ema = EMA(generator, half_life=1e9, rampup=None)
    generator(torch.randn(4, 12))
    assert generator.mapping.style_mean.any()
    ema.update(4, 0)
    assert torch.equal(ema.module.mapping.style_mean, generator.mapping.style_mean)


def test_style_mixing_changes_one_end_of_the_layers_for_the_whole_batch():
    w, other = torch.zeros(5, 3), torch.ones(5, 3)
    firsts = set()
    for _ in range(60):
        mixed = mix_styles(w, other, layers=4, probability=1.0)
        assert torch.equal(mixed, mixed[:1, :, :1].expand(5, 4, 3))
        firsts.add("".join(str(int(v)) for v in mixed[0, :, 0]))
    assert firsts == {"0111", "0011", "0001"}
    assert not mix_styles(w, other, layers=4, probability=0.0).any()
    generator = tiny(style_mixing=1.0)
    z = torch.randn(2, 12)
    assert not torch.equal(*generator.map(z)[0, [0, -1]])
    assert torch.equal(*generator.eval().map(z)[0, [0, -1]])


# Networks


def test_styles_enter_the_layers_in_order():
    """The first image takes style 1, which also leads the next block's first convolution."""
    generator = tiny(16).eval()
    assert generator.styles == 2 * 3
    seen = []
    for module in generator.modules():
        if isinstance(module, StyledConv2d | ToImage):
            module.register_forward_pre_hook(lambda m, args: seen.append(args[1][0, 0].item()))
    styles = torch.arange(6.0)[None, :, None].expand(1, 6, 16)
    with torch.no_grad():
        generator.synthesize(styles)
    assert seen == [0, 1, 1, 2, 3, 3, 4, 5]


def test_images_of_all_sizes_are_summed():
    block = SynthesisBlock(4, 3, 2, 5, (8, 8), noise=False, up=True).double()
    x, w = torch.randn(2, 4, 4, 4).double(), [torch.randn(2, 5).double() for _ in range(3)]
    image = torch.randn(2, 2, 4, 4).double()
    with_image, without = block(x, image, w)[1], block(x, None, w)[1]
    torch.testing.assert_close(with_image - without, FIR(up=True).double()(image))


def test_noise_is_fixed_in_eval_mode_and_can_be_set():
    generator = tiny()
    for module in generator.modules():
        if isinstance(module, StyledConv2d):
            nn.init.ones_(module.strength)
    z = torch.randn(2, 12)
    with torch.no_grad():
        assert not torch.equal(generator(z), generator(z))
        generator.eval()
        first = generator(z)
        assert torch.equal(first, generator(z))
        generator.set_noise(5)
        other = generator(z)
        assert not torch.equal(first, other)
        generator.set_noise(None)
        none = generator(z)
        assert not torch.equal(none, other)
        generator.set_noise(5)
        assert torch.equal(other, generator(z))
    silent = tiny(noise=False)
    assert not [n for n, _ in silent.named_parameters() if n.endswith("strength")]
    silent.set_noise(1)


@pytest.mark.parametrize("size", [(16, 24), (28, 28), (64, 32), (12, 20)])
@pytest.mark.parametrize("channels", [1, 4])
def test_oblong_images(size, channels):
    generator = tiny(size, channels, num_classes=2)
    images = generator(torch.randn(4, 12), torch.tensor([0, 1, 0, 1]))
    assert images.shape == (4, channels, *size)
    discriminator = registry.create(
        "discriminator", "stylegan2", image_size=size, channels=channels, base=256, max_channels=8
    )
    assert discriminator(images).shape == (4,)


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_refusals(kind):
    with pytest.raises(ZooError, match=f"{kind} stylegan2 .* nearest is 28 or 32"):
        count(kind, image_size=30)
    with pytest.raises(ZooError, match="base=0 must be 1 or more"):
        count(kind, image_size=32, base=0)


@pytest.mark.parametrize("architecture", ["orig", "resnet"])
def test_discriminator_layer_by_layer(architecture):
    network = registry.create(
        "discriminator",
        "stylegan2",
        image_size=8,
        channels=3,
        base=32,
        max_channels=6,
        architecture=architecture,
        mbstd_group=2,
    ).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    image = torch.randn(4, 3, 8, 8, dtype=torch.float64)

    def conv(layer, x, **options):
        return F.conv2d(x, layer.weight / math.sqrt(layer.weight[0].numel()), layer.bias, **options)

    x = lrelu(conv(network.from_image, image))
    (block,) = network.blocks
    h = lrelu(conv(block.conv, x, padding=1))
    h = lrelu(conv(block.down, blur(h, 2), stride=2))
    if architecture == "resnet":
        h = math.sqrt(0.5) * (h + conv(block.shortcut, blur(x, 1)[:, :, ::2, ::2]))
    pairs = torch.stack([h[0:2], h[2:4]])  # of group 0, images 0 and 2; of group 1, 1 and 3
    spread = ((pairs - pairs.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    column = spread[[0, 1, 0, 1]][:, None, None, None].expand(4, 1, 4, 4)
    h = lrelu(conv(network.conv, torch.cat([h, column], 1), padding=1))
    linear = network.linear
    flat = h.permute(0, 2, 3, 1).flatten(1)
    h = lrelu(flat @ linear.weight.T / math.sqrt(flat.shape[1]) + linear.bias)
    score = network.head.score
    want = (h @ score.weight.T / math.sqrt(h.shape[1]) + score.bias).squeeze(1)
    torch.testing.assert_close(network(image), want)
    assert network.mixes_images
    assert not network.has_batch_statistics


def test_minibatch_standard_deviation_can_be_left_out():
    options = {"image_size": 16, "channels": 3, "base": 64, "mbstd_group": 0}
    assert not registry.create("discriminator", "stylegan2", **options).mixes_images


def test_r1_through_the_discriminator():
    """Second derivatives against finite differences, minibatch statistics included."""
    network = registry.create(
        "discriminator", "stylegan2", image_size=8, channels=1, base=32, max_channels=4
    ).double()
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64)

    def penalty():
        images = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
        return slope.square().sum()

    parameters = list(network.parameters())
    slopes = torch.autograd.grad(penalty(), parameters, allow_unused=True)
    directions = [torch.randn_like(p) for p in parameters]
    want = sum((s * d).sum() for s, d in zip(slopes, directions, strict=True) if s is not None)
    values = []
    for step in (1e-6, -1e-6):
        for p, d in zip(parameters, directions, strict=True):
            p.data.add_(d, alpha=step)
        values.append(penalty().item())
        for p, d in zip(parameters, directions, strict=True):
            p.data.sub_(d, alpha=step)
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(want.item(), rel=1e-4)


def test_export_to_onnx_gives_the_same_images(tmp_path):
    generator = tiny(num_classes=2).eval()
    z, y = torch.randn(2, 12), torch.tensor([0, 1])
    file = tmp_path / "g.onnx"
    torch.onnx.export(generator, (z, y), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(str(file))
    given = {i.name: v.numpy() for i, v in zip(session.get_inputs(), (z, y), strict=True)}
    (images,) = session.run(None, given)
    want = generator(z, y).detach()
    torch.testing.assert_close(torch.from_numpy(images), want, rtol=0, atol=1e-4)
