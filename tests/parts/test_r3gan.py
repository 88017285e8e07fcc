"""R3GAN: published parameter counts, its blocks against their formulas, initialisation, sizes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import zoo.registry as registry
from zoo.core.errors import ZooError
from zoo.layers.fir import FIR
from zoo.layers.r3gan import R3GANBlock


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make(kind, image_size=32, channels=3, num_classes=0, **options):
    if kind == "generator":
        options.setdefault("latent_dim", 64)
    options |= {"image_size": image_size, "channels": channels, "num_classes": num_classes}
    return registry.create(kind, "r3gan", **options)


IMAGENET = {"base_channels": 1536, "group_channels": 32}
COUNTS = [
    (32, 10, {}, 20_781_952, 21_280_512),
    (32, 0, {}, 20_732_160, 20_683_776),
    (32, 1000, IMAGENET, 82_914_304, 86_548_992),
    (32, 0, IMAGENET, 82_752_000, 82_655_232),
    (64, 1000, IMAGENET | {"plan": "constant"}, 103_570_432, 107_205_120),
    (64, 0, IMAGENET | {"plan": "constant"}, 103_408_128, 103_311_360),
    (64, 0, {}, 22_429_824, 22_381_440),
    (256, 0, {}, 23_057_952, 23_009_568),
    (32, 10, {"base_channels": 256}, 2_733_440, 2_768_128),
    (32, 10, {"base_channels": 128}, 842_752, 843_392),
]


@pytest.mark.parametrize(("size", "classes", "options", "in_g", "in_d"), COUNTS)
def test_the_published_number_of_parameters(size, classes, options, in_g, in_d):
    with torch.device("meta"):
        networks = [make(k, size, 3, classes, **options) for k in ("generator", "discriminator")]
    assert [sum(p.numel() for p in n.parameters()) for n in networks] == [in_g, in_d]


# Blocks


def by_pixel(block: R3GANBlock, x: Tensor) -> Tensor:
    """The block's formula: 1x1 convolutions as matrices, groups and taps one at a time."""

    def lrelu(h: Tensor) -> Tensor:
        return torch.where(h > 0, h, 0.2 * h)

    def conv1(weight: Tensor, h: Tensor) -> Tensor:
        return torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], h)

    h = lrelu(conv1(block.conv1.weight, x) + block.conv1.bias[:, None, None])
    height, width = x.shape[2:]
    groups = block.conv2.groups
    padded, out = F.pad(h, (1, 1, 1, 1)).chunk(groups, 1), []
    for part, weight in zip(padded, block.conv2.weight.chunk(groups), strict=True):
        taps = [
            torch.einsum(
                "oi,nihw->nohw", weight[:, :, a, b], part[:, :, a : a + height, b : b + width]
            )
            for a in range(3)
            for b in range(3)
        ]
        out.append(sum(taps))
    h = lrelu(torch.cat(out, 1) + block.conv2.bias[:, None, None])
    return x + conv1(block.conv3.weight, h)


def test_the_block_and_its_gradients_are_the_formula():
    block = R3GANBlock(6, group_channels=4, blocks=8).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64, requires_grad=True)
    inputs = [x, *block.parameters()]
    got, want = block(x), by_pixel(block, x)
    torch.testing.assert_close(got, want)
    direction = torch.randn_like(got)
    for a, b in zip(
        torch.autograd.grad(got, inputs, direction),
        torch.autograd.grad(want, inputs, direction),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_the_block_starts_as_the_identity_with_the_papers_variances():
    block = R3GANBlock(64, group_channels=16, blocks=14)
    x = torch.randn(2, 64, 4, 4)
    assert torch.equal(block(x), x)
    assert not block.conv1.bias.any()
    assert not block.conv2.bias.any()
    assert block.conv3.bias is None
    for conv, fan_in in ((block.conv1, 64), (block.conv2, 16 * 9)):
        deviation = math.sqrt(2 / 1.04 / fan_in) * 14**-0.25
        # 5 standard errors of an estimate from that many numbers.
        slack = 5 / math.sqrt(2 * conv.weight.numel())
        assert conv.weight.std().item() == pytest.approx(deviation, rel=slack)


def filtered(x: Tensor, direction: str) -> Tensor:
    """Zeros between the pixels or every second pixel, with [1, 2, 1] * [1, 1], pixel by pixel."""
    taps = [1.0, 3.0, 3.0, 1.0]
    n, channels, height, width = x.shape
    up = direction == "up"
    out = x.new_zeros(n, channels, *(s * 2 if up else s // 2 for s in (height, width)))
    for i in range(height):
        for j in range(width):
            for a in range(4):
                for b in range(4):
                    weight = taps[a] * taps[b] / (16 if up else 64)
                    if up:  # pixel i lies between rows 2i and 2i + 1 of the result
                        row, column, scale = 2 * i + a - 1, 2 * j + b - 1, 1
                    else:
                        row, column, scale = i + 1 - a, j + 1 - b, 2
                    if row % scale or column % scale:
                        continue
                    row, column = row // scale, column // scale
                    if 0 <= row < out.shape[2] and 0 <= column < out.shape[3]:
                        out[:, :, row, column] += weight * x[:, :, i, j]
    return out


@pytest.mark.parametrize("direction", ["up", "down"])
def test_resampling_is_the_filter(direction):
    x = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    layer = FIR(up=direction == "up", down=direction == "down")
    torch.testing.assert_close(layer(x), filtered(x, direction))
    inner = layer(torch.ones(1, 3, 8, 8))[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.ones_like(inner))  # the mean is kept
    with torch.autocast("cpu", torch.bfloat16):
        low = layer(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.double(), filtered(x, direction), atol=0.05, rtol=0.02)


def test_up_and_down_are_each_others_transpose():
    x = torch.randn(1, 2, 6, 4, dtype=torch.float64, requires_grad=True)
    up, down = (FIR(up=direction == "up", down=direction == "down") for direction in ("up", "down"))
    y = torch.randn(1, 2, 12, 8, dtype=torch.float64)
    (slope,) = torch.autograd.grad(up(x), x, y)
    torch.testing.assert_close(slope, 4 * down(y))


# Networks


def test_the_label_is_appended_to_the_latent_by_a_linear_map():
    g = make("generator", 8, 1, 5, latent_dim=6, base_channels=8)
    for parameter in g.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    z, y = torch.randn(3, 6), torch.tensor([4, 0, 2])
    vector = torch.cat([z, F.one_hot(y, 5).float() @ g.embedding.weight], 1)
    first = torch.einsum("chw,nc->nchw", g.basis, vector @ g.project.weight.T)
    h = g.maps[0](first)
    for layer in g.maps[1]:
        h = layer(h)
    want = torch.einsum("oc,nchw->nohw", g.to_image.weight[:, :, 0, 0], h)
    torch.testing.assert_close(g(z, y), want)


def test_generator_changes_the_width_before_the_filter_and_the_discriminator_after_it():
    names = [type(m).__name__ for m in make("generator", 64, base_channels=16).maps[-1]]
    assert names == ["Conv2d", "FIR", "R3GANBlock", "R3GANBlock"]
    names = [type(m).__name__ for m in make("discriminator", 64, base_channels=16).maps[0]]
    assert names == ["R3GANBlock", "R3GANBlock", "FIR", "Conv2d"]


@pytest.mark.parametrize("classes", [0, 4])
def test_the_score(classes):
    d = make("discriminator", 8, 2, classes, base_channels=8)
    x, y = torch.randn(3, 2, 8, 8), torch.tensor([3, 0, 2])
    h = d.maps[1](d.maps[0](d.from_image(x)))
    kernel = d.basis[:, None]  # the depthwise convolution without padding
    features = F.conv2d(h, kernel, groups=len(kernel)).flatten(1)
    if classes:
        projected = features @ d.head.project.weight.T
        want = (projected * (F.one_hot(y, 4).float() @ d.head.embedding.weight)).sum(1)
    else:
        want = features @ d.head.score.weight[0]
        assert d.head.score.bias is None
    torch.testing.assert_close(d(x, y), want)


def test_the_head_needs_labels():
    with pytest.raises(ZooError, match="needs labels, but num_classes is 0"):
        make("discriminator", head="r3gan")
    head = make("discriminator", 8, 1, 3, base_channels=8).head
    with pytest.raises(ZooError, match="needs labels"):
        head(torch.zeros(2, 8))


def test_the_labels_start_with_the_papers_variances():
    g = make("generator", 8, 1, 100, base_channels=64)
    d = make("discriminator", 8, 1, 100, base_channels=64)
    for weight, deviation in (
        (g.embedding.weight, 1 / 10),
        (g.project.weight, 1 / math.sqrt(128)),
        (d.basis, 1 / 4),
        (d.head.project.weight, 1 / 8),
        (d.head.embedding.weight, 1 / 80),
    ):
        slack = 5 / math.sqrt(2 * weight.numel())
        assert weight.std().item() == pytest.approx(deviation, rel=slack)


@pytest.mark.parametrize("size", [[16, 24], [48, 32], 28, 12, 20])
@pytest.mark.parametrize("classes", [0, 3])
def test_oblong_and_odd_sizes(size, classes):
    height, width = (size, size) if isinstance(size, int) else size
    g = make("generator", size, 2, classes, latent_dim=6, base_channels=8)
    d = make("discriminator", size, 2, classes, base_channels=8)
    y = torch.tensor([0, 2])
    images = g(torch.randn(2, 6), y)
    assert images.shape == (2, 2, height, width)
    assert d(images, y).shape == (2,)


def test_what_does_not_fit_is_refused_with_the_nearest():
    with pytest.raises(ZooError, match=r"generator r3gan .*image_size=30.* 28 or 32"):
        make("generator", 30)
    with pytest.raises(ZooError, match=r"base_channels=100 is no multiple of 8.* 96 or 104\."):
        make("discriminator", 32, base_channels=100)
    with pytest.raises(ZooError, match=r"image_size=256: base_channels=48 .* 64.*nearest is 64\."):
        make("generator", 256, base_channels=48)


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_the_smallest_map_stays_in_full_precision(kind):
    network = make(kind, 16, 3, 2, base_channels=8)
    seen: dict[str, torch.dtype] = {}
    for name in ("0", "1", "2"):
        network.maps.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: seen.update({name: out.dtype})
        )
    x = torch.randn(2, 64) if kind == "generator" else torch.randn(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        network(x, torch.tensor([0, 1]))
    smallest = "0" if kind == "generator" else "2"
    assert seen[smallest] == torch.float32
    assert {t for n, t in seen.items() if n != smallest} == {torch.bfloat16}
