"""BigGAN, SAGAN, BigGAN-deep: published counts, blocks against their formulas, initialisation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import zoo.layers.spectral_norm
import zoo.registry as registry
from zoo.core.errors import ZooError
from zoo.layers.attention import SelfAttention2d
from zoo.layers.biggan import ModulatedBatchNorm2d, attention_side, discriminator_plan
from zoo.layers.biggan_deep import DeepDiscriminatorBlock, DeepGeneratorBlock
from zoo.layers.resnet import DiscriminatorBlock, GeneratorBlock
from zoo.layers.weights import DerivedWeight

NAMES = ("sagan", "biggan", "biggan_deep")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def make(kind, name, image_size=32, channels=3, num_classes=0, **options):
    options |= {"image_size": image_size, "channels": channels, "num_classes": num_classes}
    return registry.create(kind, name, **options)


AJBROCK_CIFAR = (
    {"base_channels": 64, "hierarchical": False, "shared_dim": 0, "attention": 0},
    {"base_channels": 128, "attention": 0},
)
COUNTS = [
    ("sagan", 32, 10, 128, {}, {}, 4_386_308, 1_075_586),
    ("sagan", 32, 0, 128, {}, {}, 4_358_660, 1_074_306),
    ("sagan", 64, 100, 128, {}, {}, 12_811_396, 19_650_242),
    ("biggan", 32, 10, 80, {}, {}, 9_416_196, 2_415_170),
    ("biggan", 32, 0, 80, {}, {}, 8_825_092, 2_413_250),
    # Of this width StudioGAN has attention at 16x16 in G, at 32x32 in D.
    ("biggan", 64, 10, 100, {"attention": 16}, {}, 24_704_964, 43_991_330),
    ("biggan", 64, 0, 100, {"attention": 16}, {}, 23_597_764, 43_975_970),
    ("biggan", 64, 100, 100, *[{"base_channels": 80}] * 2, 17_322_404, 30_668_722),
    (
        "biggan", 64, 1000, 120, {"base_channels": 64, "plan": "ajbrock"}, {"base_channels": 64},
        31_969_540, 20_571_842,
    ),
    ("biggan", 128, 1000, 120, {}, {}, 70_433_988, 87_982_370),
    ("biggan", 256, 1000, 119, {}, {}, 82_108_548, 99_225_890),
    ("biggan", 32, 10, 128, *AJBROCK_CIFAR, 4_304_387, 4_207_361),
    ("biggan_deep", 32, 10, 128, {}, {}, 7_762_948, 2_908_930),
    ("biggan_deep", 64, 1000, 128, {}, {}, 49_829_636, 20_951_554),
    ("biggan_deep", 128, 1000, 128, {}, {}, 50_244_484, 34_590_210),
    ("biggan_deep", 256, 1000, 128, {}, {}, 55_736_708, 38_247_426),
]  # fmt: skip


@pytest.mark.parametrize(("name", "size", "classes", "z", "of_g", "of_d", "in_g", "in_d"), COUNTS)
def test_the_published_number_of_parameters(
    name, size, classes, z, of_g, of_d, in_g, in_d, monkeypatch
):
    # Without weights there is nothing to iterate on, and the initialisation adds no parameter.
    monkeypatch.setattr(zoo.layers.spectral_norm, "INITIAL_ITERATIONS", 0)
    with torch.device("meta"):
        networks = [
            make("generator", name, size, 3, classes, latent_dim=z, init="xavier", **of_g),
            make("discriminator", name, size, 3, classes, init="xavier", **of_d),
        ]
    assert [sum(p.numel() for p in n.parameters()) for n in networks] == [in_g, in_d]


@pytest.mark.parametrize("head", ["contragan", "reacgan"])
def test_contragan_is_the_body_with_512_numbers_an_image(head, monkeypatch):
    monkeypatch.setattr(zoo.layers.spectral_norm, "INITIAL_ITERATIONS", 0)
    with torch.device("meta"):
        network = make("discriminator", "biggan", 32, 3, 10, head=head, init="xavier")
    assert sum(p.numel() for p in network.parameters()) == 2_517_186


def test_the_widths_by_size():
    """StudioGAN's configurations for D at 32 to 256 pixels: multiples, and blocks that halve."""
    assert [discriminator_plan(k) for k in (3, 4, 5, 6)] == [
        ((2, 2, 2, 2), 2),
        ((1, 2, 4, 8, 16), 4),
        ((1, 2, 4, 8, 16, 16), 5),
        ((1, 2, 4, 8, 8, 16, 16), 6),
    ]


@pytest.mark.parametrize(
    ("attention", "side", "image", "want"),
    [("auto", 4, 32, 16), ("auto", 4, 64, 32), ("auto", 4, 128, 64), ("auto", 4, 256, 64),
     ("auto", 7, 28, 14), ("auto", 4, 8, 0), (0, 4, 32, 0), (8, 4, 32, 8)],
)  # fmt: skip
def test_where_attention_stands(attention, side, image, want):
    sides = []
    while side < image:
        side *= 2
        sides.append(side)
    assert attention_side(attention, sides, image) == want


# Blocks, in float64 and in eval mode, where spectral norm keeps its vectors


def weight(layer: nn.Module) -> Tensor:
    """W / (u' W v)."""
    if layer.spectral_norm is None:
        return layer.weight
    u, v = layer.spectral_norm.u, layer.spectral_norm.v
    return layer.weight / (u @ layer.weight.flatten(1) @ v)


def conv(layer: nn.Module, x: Tensor) -> Tensor:
    return F.conv2d(x, weight(layer), layer.bias, padding=layer.kernel_size[0] // 2)


def norm(layer: ModulatedBatchNorm2d, x: Tensor, c: Tensor | None) -> Tensor:
    """Batch statistics by hand, then the gain and the bias of the condition."""
    mean, variance = x.mean((0, 2, 3), True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    x = (x - mean) / (variance + 1e-4).sqrt()
    if c is None:
        return x * layer.norm.weight[:, None, None] + layer.norm.bias[:, None, None]
    gain, bias = c @ weight(layer.gain).T, c @ weight(layer.bias).T
    return (1 + gain[:, :, None, None]) * x + bias[:, :, None, None]


def up(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def pooled(x: Tensor) -> Tensor:
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def with_batch_statistics(network: nn.Module) -> nn.Module:
    """Eval mode but for the batch norms."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    return network


def same_with_gradients(network: nn.Module, got: Tensor, want: Tensor, *inputs: Tensor) -> None:
    torch.testing.assert_close(got, want)
    direction = torch.randn_like(got)
    over = [*inputs, *network.parameters()]
    for a, b in zip(
        torch.autograd.grad(got, over, direction),
        torch.autograd.grad(want, over, direction),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def maps(channels: int) -> Tensor:
    return torch.randn(3, channels, 4, 6, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("condition", [0, 5])
def test_biggan_generator_block(condition):
    block = GeneratorBlock(6, 4, lambda c: ModulatedBatchNorm2d(c, condition), spectral_norm=True)
    with_batch_statistics(block).double()
    x, c = maps(6), torch.randn(3, 5, dtype=torch.float64) if condition else None
    h = conv(block.conv1, up(norm(block.norm1, x, c).relu()))
    want = conv(block.conv2, norm(block.norm2, h, c).relu()) + conv(block.shortcut, up(x))
    same_with_gradients(block, block(x, c), want, x)


@pytest.mark.parametrize(
    ("inputs", "outputs", "pool", "first"),
    [(3, 6, True, True), (4, 6, True, False), (4, 6, False, False), (4, 4, False, False)],
)
def test_biggan_discriminator_block(inputs, outputs, pool, first):
    block = DiscriminatorBlock(inputs, outputs, pool, first, spectral_norm=True, wide=True)
    block.eval().double()
    assert block.conv1.out_channels == outputs
    x = maps(inputs)
    want = conv(block.conv2, conv(block.conv1, x if first else x.relu()).relu())
    shortcut = x if block.shortcut is None else conv(block.shortcut, x)
    assert (block.shortcut is None) == (inputs == outputs and not pool)
    want = pooled(want + shortcut) if pool else want + shortcut
    same_with_gradients(block, block(x), want, x)


@pytest.mark.parametrize("doubles", [False, True])
def test_deep_generator_block(doubles):
    block = DeepGeneratorBlock(8, 6, condition_dim=5, up=doubles)
    with_batch_statistics(block).double()
    assert [c.kernel_size[0] for c in block.convs] == [1, 3, 3, 1]
    assert [c.in_channels for c in block.convs] == [8, 2, 2, 2]
    x, c = maps(8), torch.randn(3, 5, dtype=torch.float64)
    h = conv(block.convs[0], norm(block.norms[0], x, c).relu())
    h = norm(block.norms[1], h, c).relu()
    h = conv(block.convs[1], up(h) if doubles else h)
    h = conv(block.convs[2], norm(block.norms[2], h, c).relu())
    h = conv(block.convs[3], norm(block.norms[3], h, c).relu())
    shortcut = x[:, :6]
    same_with_gradients(block, block(x, c), h + (up(shortcut) if doubles else shortcut), x)


@pytest.mark.parametrize(("outputs", "pool"), [(12, True), (8, True), (8, False), (12, False)])
def test_deep_discriminator_block(outputs, pool):
    block = DeepDiscriminatorBlock(8, outputs, pool).eval().double()
    x = maps(8)
    h = x
    for layer in block.convs:
        h = conv(layer, h.relu())
    h = h.relu()
    shortcut = x
    if pool:
        h, shortcut = pooled(h), pooled(x)
    if outputs > 8:
        shortcut = torch.cat([shortcut, conv(block.widen, shortcut)], 1)
    same_with_gradients(block, block(x), conv(block.last, h) + shortcut, x)


# Networks


def tiny(kind, name, size=32, classes=4, **options):
    options = {"base_channels": 4} | options
    if kind == "generator":
        options = {"latent_dim": 12} | options
        if name != "sagan":
            options = {"shared_dim": 8} | options
    return make(kind, name, size, 3, classes, **options)


def conditions(g: nn.Module, z: Tensor, y: Tensor | None) -> list[Tensor]:
    """What enters the first layer, and the condition of each block."""
    seen: list[Tensor] = []
    body = getattr(g, "body", g)
    body.project.register_forward_hook(lambda _m, args, _o: seen.append(args[0]))
    for block in body.blocks:
        block.register_forward_hook(lambda _m, args, _o: seen.append(args[1]))
    g(z, y)
    return seen


def test_biggan_hands_each_block_its_chunk_behind_the_shared_embedding():
    g, z, y = tiny("generator", "biggan"), torch.randn(3, 12), torch.tensor([3, 0, 2])
    first, *others = conditions(g, z, y)
    assert torch.equal(first, z[:, :3])
    assert len(others) == 3
    for i, given in enumerate(others):
        chunk = z[:, 3 * (i + 1) : 3 * (i + 2)]
        assert torch.equal(given, torch.cat([g.embedding.weight[y], chunk], 1))
    assert type(g.embedding) is nn.Embedding  # without spectral norm


def test_biggan_without_classes_keeps_the_chunks():
    z = torch.randn(3, 12)
    given = conditions(tiny("generator", "biggan", classes=0), z, None)
    assert all(torch.equal(a, b) for a, b in zip(given, z.chunk(4, 1), strict=True))


def test_sagan_conditions_on_the_label_alone():
    z, y = torch.randn(3, 12), torch.tensor([3, 0, 2])
    first, *others = conditions(tiny("generator", "sagan"), z, y)
    assert torch.equal(first, z)
    assert all(torch.equal(c, F.one_hot(y, 4).float()) for c in others)
    g = tiny("generator", "sagan", classes=0)
    assert conditions(g, z, None)[1:] == [None, None, None]
    assert all(m.norm.affine for m in g.modules() if isinstance(m, ModulatedBatchNorm2d))


def test_deep_hands_every_block_the_whole_latent_and_the_label():
    g, z, y = tiny("generator", "biggan_deep"), torch.randn(3, 12), torch.tensor([3, 0, 2])
    whole = torch.cat([z, g.embedding.weight[y]], 1)
    given = conditions(g, z, y)
    assert len(given) == 1 + 6
    assert all(torch.equal(c, whole) for c in given)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_every_weight_is_normalised_and_starts_orthogonal(kind, name):
    network = tiny(kind, name)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding)]
    shared = getattr(network, "embedding", None)
    layers = [m for m in layers if m is not shared]
    assert len(layers) > 10
    for layer in layers:
        assert isinstance(layer, DerivedWeight)
        assert layer.spectral_norm is not None
        matrix = layer.weight.flatten(1)
        values = torch.linalg.svdvals(matrix)
        torch.testing.assert_close(values, torch.ones_like(values))
        sigma = layer.spectral_norm.u @ matrix @ layer.spectral_norm.v
        torch.testing.assert_close(sigma, torch.ones(()))
        assert getattr(layer, "bias", None) is None or not layer.bias.any()
    assert sum(isinstance(m, SelfAttention2d) for m in network.modules()) == 1


def test_other_initialisations():
    g = tiny("generator", "biggan", base_channels=32, init="normal")
    layer = g.body.blocks[0].conv1
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
    sigma = layer.spectral_norm.u @ layer.weight.flatten(1) @ layer.spectral_norm.v
    largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    torch.testing.assert_close(sigma, largest, rtol=0.05, atol=0)
    with pytest.raises(ZooError, match="orthogonal, xavier, normal"):
        tiny("generator", "biggan", init="zero")


def test_the_discriminator_sums_its_features():
    d = tiny("discriminator", "biggan").eval()
    x, y = torch.randn(2, 3, 32, 32), torch.tensor([1, 3])
    h = d.body.blocks(x).relu()
    assert h.shape[2:] == (8, 8)
    torch.testing.assert_close(d.features(x), h.sum((2, 3)))
    features, score, embedding = h.sum((2, 3)), d.head.score, d.head.embedding
    matched = (weight(embedding)[y] * features).sum(1)
    torch.testing.assert_close(d(x, y), features @ weight(score)[0] + score.bias + matched)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [[16, 24], [32, 64], 28, 12, 8, 64])
@pytest.mark.parametrize("classes", [0, 3])
def test_oblong_and_odd_sizes(name, size, classes):
    height, width = (size, size) if isinstance(size, int) else size
    g = tiny("generator", name, size, classes, base_channels=2, latent_dim=60)
    d = tiny("discriminator", name, size, classes, base_channels=2)
    y = torch.tensor([0, 2])
    images = g(torch.randn(2, 60), y)
    assert images.shape == (2, 3, height, width)
    assert d(images, y).shape == (2,)


def test_what_does_not_fit_is_refused_with_the_nearest():
    with pytest.raises(ZooError, match=r"image_size=64 .* 5 chunks .*latent_dim=12 .* 10 or 15\."):
        tiny("generator", "biggan", 64)
    for name in NAMES:
        with pytest.raises(ZooError, match=rf"generator {name} .*image_size=30.* 28 or 32"):
            tiny("generator", name, 30)
        with pytest.raises(ZooError, match=rf"discriminator {name}: attention=5 .* or 0\."):
            tiny("discriminator", name, attention=5)
