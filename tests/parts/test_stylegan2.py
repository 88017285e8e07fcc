"""StyleGAN2: published counts, and its blocks against plain references made from the formulas."""

from __future__ import annotations

import copy
import math

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo.registry as registry
from zoo.contracts.head import Trunk
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.layers.equalized import EqualizedConv2d, EqualizedLinear
from zoo.layers.fir import FIR
from zoo.layers.mapping import LabelMapping, Mapping, mix_styles, second_moment_norm
from zoo.layers.minibatch import MinibatchStandardDeviation, group_size
from zoo.layers.modulation import StyledConv2d, ToImage
from zoo.parts.generators.stylegan2 import SynthesisBlock
from zoo.training.ema import EMA

TINY = {"base": 256, "max_channels": 16, "style_dim": 16}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def count(kind, name="stylegan2", **options):
    if kind == "generator":
        options = {"latent_dim": 512} | options
    with torch.device("meta"):
        network = registry.create(kind, name, **({"channels": 3} | options))
    return sum(p.numel() for p in network.parameters())


def tiny(image_size=16, channels=3, num_classes=0, **options):
    return registry.create(
        "generator",
        "stylegan2",
        image_size=image_size,
        channels=channels,
        latent_dim=12,
        num_classes=num_classes,
        **(TINY | options),
    )


def lrelu(x):
    return math.sqrt(2) * torch.where(x > 0, x, 0.2 * x)


def blur(x, padding, gain=1.0):
    """[1, 3, 3, 1] along both axes, written out; `padding` zeros on every side."""
    x = F.pad(x, [padding] * 4)
    taps = [t * gain / 8 for t in (1, 3, 3, 1)]
    for axis in (2, 3):
        length = x.shape[axis] - 3
        x = sum(t * x.narrow(axis, k, length) for k, t in enumerate(taps))
    return x


def insert_zeros(x):
    """(H, W) to (2H, 2W), a zero behind every pixel."""
    n, c, h, w = x.shape
    out = x.new_zeros(n, c, 2 * h, 2 * w)
    out[:, :, ::2, ::2] = x
    return out


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


def test_groups_divide_the_batch():
    sizes = [(64, 32), (8, 4), (5, 4), (6, 4), (2, 4), (1, 4), (61, 32)]
    assert [group_size(*s) for s in sizes] == [32, 4, 5, 3, 2, 1, 61]
    for n in (1, 2, 5, 7):
        assert MinibatchStandardDeviation(4)(torch.randn(n, 2, 2, 2)).shape == (n, 3, 2, 2)


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


# Path length


def path_length_update(generator, n=4, labels=None):
    z = torch.randn(n, generator.latent_dim)
    w = generator.map(z, labels)
    images = generator.synthesize(w, labels)

    def generate(n, labels=None):
        z = torch.randn(n, generator.latent_dim)
        w = generator.map(z, labels)
        return GeneratorOutput(generator.synthesize(w, labels), z, w, labels)

    output = DiscriminatorOutput(torch.zeros(n), torch.zeros(n, 1), {})
    return Update(
        side="generator",
        generator=generator,
        discriminator=nn.Identity(),
        real=images.detach(),
        labels=labels,
        generated=GeneratorOutput(images, z, w, labels),
        real_output=None,
        fake_output=output,
        discriminate=lambda *_: output,
        generate=generate,
    )


def test_path_length_of_the_given_vector():
    regularizer = registry.create("regularizer", "path_length")
    assert regularizer.every == 4
    slope = torch.tensor([[[0.3, 0.4, 0.0], [0.0, 0.0, 1.0]], [[1.0, 2.0, 2.0], [0.0, 1.0, 0.0]]])
    assert regularizer.penalty(slope).item() == pytest.approx(5.533853, abs=1e-5)
    assert regularizer.average.item() == pytest.approx(0.015133, abs=1e-6)
    flat = registry.create("regularizer", "path_length", decay=1.0)
    assert flat.penalty(torch.tensor([[3.0, 4.0], [0.0, 1.0]])).item() == pytest.approx(2 * 4.0)


class Linear(nn.Module):
    """Images A w: their path length is |A^T y| whatever the style."""

    latent_dim = 3

    def __init__(self, mapped):
        super().__init__()
        self.mapped = mapped
        self.matrix = nn.Parameter(torch.randn(2 * 4 * 4, 3))

    def map(self, z, y=None):
        return z * self.matrix.new_ones(3).requires_grad_() if self.mapped else z

    def synthesize(self, w, y=None):
        return (w @ self.matrix.T).view(-1, 2, 4, 4)


@pytest.mark.parametrize("mapped", [True, False])
def test_path_length_of_a_linear_generator(mapped):
    generator = Linear(mapped)
    regularizer = registry.create("regularizer", "path_length", weight=3.0, shrink=2)
    update = path_length_update(generator, n=6)
    torch.manual_seed(4)
    penalty = regularizer(update)
    torch.manual_seed(4)
    torch.randn(3, 3)  # the latents of half the batch
    noise = torch.randn(3, 2, 4, 4) / 4
    lengths = (noise.flatten(1) @ generator.matrix).norm(dim=1)
    average = 0.01 * lengths.mean().detach()
    torch.testing.assert_close(penalty, 3 * (lengths - average).square().mean())
    torch.testing.assert_close(regularizer.average, average)
    penalty.backward()
    assert generator.matrix.grad.any()


def test_path_length_reaches_the_weights_of_stylegan2():
    generator = tiny(num_classes=2)
    regularizer = registry.create("regularizer", "path_length")
    regularizer(path_length_update(generator, 4, torch.tensor([0, 1, 1, 0]))).backward()
    for name, parameter in generator.named_parameters():
        if parameter.dim() > 1:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("option", [{"decay": 0}, {"shrink": 0}, {"weight": -1}])
def test_path_length_refuses(option):
    with pytest.raises(ZooError, match=next(iter(option))):
        registry.create("regularizer", "path_length", **option)
