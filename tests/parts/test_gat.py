"""GAT: its blocks against the formulas in float64, its noise, and R1 and R2 by differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import sigmoid

import zoo
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.layers.randoms import SameRandoms, slopes
from zoo.layers.transformer import ScaledLinear, rms, rotate, rotations, sin_cos_positions
from zoo.parts.discriminators.gat import STRENGTHS, NestedNoise
from zoo.parts.discriminators.gat import Block as DiscriminatorBlock
from zoo.parts.generators.gat import Block as GeneratorBlock

SIZES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}
PUBLISHED = {
    "S": (29_361_344, 32_654_464),
    "B": (116_754_752, 97_331_968),
    "L": (408_748_576, 315_166_688),
    "XL": (602_251_136, 459_547_456),
}
SMALL = {"width": 16, "depth": 4, "heads": 2, "patch": 4}


def count(kind: str, **options: Any) -> int:
    with torch.device("meta"):
        network = zoo.create(kind, "gat", **options)
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("size", SIZES)
def test_published_counts_on_latents(size):
    width, depth, heads = SIZES[size]
    options = {"image_size": 32, "channels": 4, "num_classes": 1000}
    options |= {"width": width, "depth": depth, "heads": heads}
    assert count("generator", latent_dim=64, **options) == PUBLISHED[size][0]
    assert count("discriminator", **options) == PUBLISHED[size][1]


def test_published_counts_in_pixels():
    options = {"image_size": 32, "channels": 3, "num_classes": 10}
    assert count("generator", latent_dim=64, **options) == 29_290_288
    assert count("discriminator", **options) == 30_620_800


def plain_rms(x: torch.Tensor) -> torch.Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()


def plain_attention(layer: nn.Module, x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Head by head, with rotations as complex numbers; angles (T, d / 2)."""
    width = x.shape[-1]
    d = width // layer.heads
    turn = torch.polar(torch.ones_like(angles), angles)

    def turned(v: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        v = plain_rms(v) * weight
        z = torch.complex(v[..., : d // 2], v[..., d // 2 :]) * turn
        return torch.cat([z.real, z.imag], -1)

    q, k, v = (x @ layer.qkv.weight.T + layer.qkv.bias).split(width, -1)
    heads = []
    for h in range(layer.heads):
        part = slice(h * d, (h + 1) * d)
        scores = turned(q[..., part], layer.query_norm.weight) @ turned(
            k[..., part], layer.key_norm.weight
        ).transpose(1, 2)
        weights = (scores / math.sqrt(d)).exp()
        heads.append(weights / weights.sum(-1, keepdim=True) @ v[..., part])
    return torch.cat(heads, -1) @ layer.out.weight.T + layer.out.bias


def plain_swiglu(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    a, b = (x @ layer.wide.weight.T + layer.wide.bias).chunk(2, -1)
    return (a * sigmoid(a) * b) @ layer.out.weight.T + layer.out.bias


def angles_of(height: int, width: int, features: int, extra: int = 0) -> torch.Tensor:
    quarter = features // 4
    rows = [[0.0] * (2 * quarter)] * extra
    for r in range(height):
        for c in range(width):
            theta = [10_000 ** (-i / quarter) for i in range(quarter)]
            rows.append([r * t for t in theta] + [c * t for t in theta])
    return torch.tensor(rows, dtype=torch.float64)


def scrambled(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    return network.double()


def close_with_gradients(got: torch.Tensor, want: torch.Tensor, inputs: list) -> None:
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)
    probe = torch.randn_like(want)
    for a, b in zip(
        torch.autograd.grad((got * probe).sum(), inputs),
        torch.autograd.grad((want * probe).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_generators_block_is_the_formula():
    block = scrambled(GeneratorBlock(16, 2))
    x = torch.randn(2, 6, 16, dtype=torch.float64, requires_grad=True)
    style = torch.randn(2, 16, dtype=torch.float64, requires_grad=True)
    s_a, g_a, s_m, g_m = (
        t.unsqueeze(1)
        for t in (style @ block.modulation.weight.T + block.modulation.bias).chunk(4, 1)
    )
    angles = angles_of(2, 3, 8)
    want = x + g_a * plain_attention(block.attention, (1 + s_a) * plain_rms(x), angles)
    want = want + g_m * plain_swiglu(block.mlp, (1 + s_m) * plain_rms(want))
    got = block(x, style, rotations(2, 3, 8).double())
    close_with_gradients(got, want, [x, style, *block.parameters()])


def test_discriminators_block_is_the_formula():
    block = scrambled(DiscriminatorBlock(16, 2))
    x = torch.randn(2, 7, 16, dtype=torch.float64, requires_grad=True)
    angles = angles_of(2, 3, 8, extra=1)
    normed = plain_rms(x) * block.attention_norm.weight
    want = x + block.attention_scale * plain_attention(block.attention, normed, angles)
    normed = plain_rms(want) * block.mlp_norm.weight
    want = want + block.mlp_scale * plain_swiglu(block.mlp, normed)
    got = block(x, rotations(2, 3, 8, extra=1).double())
    close_with_gradients(got, want, [x, *block.parameters()])


def test_the_root_mean_square_norm_and_its_derivatives():
    """Its backward is written by hand, for once and for twice."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 5, dtype=torch.float64)
    x[0, 0] = 0  # where a norm has no second derivative
    x.requires_grad_()
    close_with_gradients(rms(x), plain_rms(x), [x])
    assert torch.autograd.gradcheck(rms, x)
    assert torch.autograd.gradgradcheck(rms, x)
    assert rms(x.bfloat16()).dtype == torch.bfloat16
    large = torch.full((1, 300), 300.0, dtype=torch.float16)  # whose squares half precision lacks
    torch.testing.assert_close(rms(large), torch.ones_like(large))


def test_rotation_takes_a_weight_of_the_features():
    torch.manual_seed(0)
    turns = rotations(3, 4, 8).double()
    x = torch.randn(2, 2, 12, 8, dtype=torch.float64)
    weight = torch.randn(2, 1, 1, 8, dtype=torch.float64)
    torch.testing.assert_close(rotate(x, turns, weight), rotate(x * weight, turns))


def test_rotated_products_depend_on_the_distance_alone():
    torch.manual_seed(0)
    height, width, features = 5, 6, 16
    turns = rotations(height, width, features).double()
    q, k = torch.randn(2, 1, features, dtype=torch.float64)
    products = rotate(q.expand(30, -1), turns) @ rotate(k.expand(30, -1), turns).T
    by_distance: dict[tuple[int, int], list[float]] = {}
    for a in range(30):
        for b in range(30):
            distance = (a // width - b // width, a % width - b % width)
            by_distance.setdefault(distance, []).append(products[a, b].item())
    assert all(max(v) - min(v) < 1e-5 for v in by_distance.values())
    assert by_distance[0, 0][0] == pytest.approx((q * k).sum().item(), abs=1e-6)
    first = {d: v[0] for d, v in by_distance.items()}
    assert abs(first[1, 0] - first[0, 1]) > 1e-3  # rows and columns are told apart


def test_positions_tell_every_patch_from_every_other():
    positions = sin_cos_positions(4, 5, 16)
    assert positions.shape == (20, 16)
    assert torch.cdist(positions, positions).add(10 * torch.eye(20)).min() > 0.1


def test_nested_noise():
    assert pytest.approx((0.885, 0.76, 0.51, 0.01)) == STRENGTHS
    noise = NestedNoise()
    torch.manual_seed(0)
    levels = noise(torch.zeros(500, 4, 1, 8, 8)).transpose(0, 1).flatten(1)
    for level, strength in zip(levels, STRENGTHS, strict=True):
        assert level.std().item() == pytest.approx(strength, rel=0.03)
    # A level's noise is the next one's and more: their covariance is the next one's variance.
    for more, less in ((0, 1), (1, 2), (0, 2)):
        covariance = (levels[more] * levels[less]).mean().item()
        assert covariance == pytest.approx(STRENGTHS[less] ** 2, rel=0.05)
    kept = noise.eval()(torch.ones(1, 4, 1, 2, 2)).mean((0, 2, 3, 4))
    torch.testing.assert_close(kept, 1 - torch.tensor(STRENGTHS))


def test_scaled_layers_start_as_xavier_and_learn_slowly():
    torch.manual_seed(0)
    layer = ScaledLinear(200, 100)
    torch.testing.assert_close(
        layer(torch.eye(200)).std().item(), math.sqrt(2 / 300), rtol=0.03, atol=0
    )
    before = layer(torch.eye(200)).detach()
    optimizer = torch.optim.Adam(layer.parameters(), 1e-3)
    layer(torch.eye(200)).sum().backward()
    optimizer.step()
    moved = (layer(torch.eye(200)) - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 2e-5), rtol=1e-2, atol=1e-7)


def test_the_image_is_the_last_of_four_sums_and_patches_lie_in_place():
    g = zoo.create("generator", "gat", image_size=[8, 12], channels=2, latent_dim=5, **SMALL)
    w = g.map(torch.randn(3, 5))
    levels = g.levels(w)
    assert levels.shape == (3, 4, 2, 8, 12)
    torch.testing.assert_close(levels[:, -1], g.synthesize(w))
    patches = torch.zeros(1, 6, 32)
    patches[0, 4, 16 + 4 * 3 + 1] = 1  # row 1, column 1 of 2 x 3; channel 1, row 3, column 1
    image = g._image(patches)
    assert image.nonzero().tolist() == [[0, 1, 7, 5]]
    d = zoo.create("discriminator", "gat", image_size=[8, 12], channels=2, embedding=8, **SMALL)
    d.eval()
    torch.testing.assert_close(d(levels[:, -1]), d(levels[:, -1].repeat(1, 4, 1, 1)))
    assert not torch.allclose(d(levels[:, -1]), d(levels.flatten(1, 2)))


def test_styles_are_truncated_towards_the_mean_of_their_class():
    torch.manual_seed(0)
    g = zoo.create(
        "generator", "gat", image_size=8, channels=1, latent_dim=5, num_classes=3, **SMALL
    )
    z, y = torch.randn(64, 5), torch.arange(64) % 2  # class 2 does not occur
    style = g.map(z, y)
    for label in (0, 1):
        mean = style[y == label].mean(0) * (1 - 0.998)
        torch.testing.assert_close(g.style_mean[label], mean, rtol=1e-4, atol=1e-7)
    assert not g.style_mean[2].any()
    g.eval()
    before = g.style_mean.clone()
    torch.testing.assert_close(g.truncate(z, y, 1.0), g.map(z, y))
    torch.testing.assert_close(g.truncate(z, y, 0.0), before[y])
    of_all = g.truncate(z, y, 0.0, per_class=False)
    torch.testing.assert_close(of_all, before.mean(0).expand_as(of_all))
    assert torch.equal(g.style_mean, before)
    with pytest.raises(ZooError, match="must be from 0 to 1"):
        g.truncate(z, y, 1.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 6}, "depth=6 must be a multiple of 4.* nearest is 8"),
        ({"width": 20}, "width=20 must be a multiple of 8.* nearest is 16"),
        ({"image_size": 30}, "image_size=30.* 28 or 32"),
    ],
)
def test_sizes_that_do_not_fit_are_told_with_the_nearest(options, said):
    chosen = {"image_size": 32, **SMALL, **options}
    with pytest.raises(ZooError, match=f"generator gat.*{said}"):
        zoo.create("generator", "gat", channels=1, latent_dim=5, **chosen)


# R1 and R2 by finite differences


def test_passes_within_share_their_random_numbers():
    def draw() -> list[torch.Tensor]:
        filled = torch.empty(3).normal_()
        mask = torch.nn.functional.dropout(torch.ones(50))
        return [
            torch.rand(4).mul_(2),
            torch.randint(9, (5,)),
            torch.randn_like(filled),
            filled,
            mask,
        ]

    randoms = SameRandoms()
    with randoms:
        first = draw()
    torch.manual_seed(5)
    with randoms:
        second = draw()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(draw()[0], first[0])


def test_slopes_of_a_linear_score_are_exact_whatever_is_drawn():
    torch.manual_seed(0)
    weight = torch.randn(12, dtype=torch.float64)

    def score(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ weight + 100 * torch.rand(len(x), dtype=torch.float64)

    got = slopes(score, torch.randn(20_000, 3, 2, 2, dtype=torch.float64), 0.01)
    assert got.square().mean().item() == pytest.approx(weight.square().sum().item(), rel=0.05)


def update_of(d: nn.Module, real: torch.Tensor, fake: torch.Tensor) -> Update:
    def discriminate(x: torch.Tensor, labels: Any, augmented: bool = True) -> DiscriminatorOutput:
        return d.outputs(x, labels)

    return Update(
        side="discriminator",
        generator=None,  # type: ignore[arg-type]
        discriminator=d,  # type: ignore[arg-type]
        real=real,
        labels=None,
        generated=GeneratorOutput(fake, fake, fake, None),
        real_output=None,
        fake_output=d.outputs(fake),
        discriminate=discriminate,
        generate=None,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(("name", "exact"), [("fd_r1", "r1"), ("fd_r2", "r2")])
def test_in_the_mean_they_are_r1_and_r2(name, exact):
    torch.manual_seed(0)
    d = zoo.create("discriminator", "mlp", image_size=2, channels=1, width=8).double()
    real, fake = torch.randn(2, 4, 1, 2, 2, dtype=torch.float64)
    want = zoo.create("regularizer", exact, gamma=3.0)(update_of(d, real, fake))
    many = update_of(d, real.repeat(3000, 1, 1, 1), fake.repeat(3000, 1, 1, 1))
    got = zoo.create("regularizer", name, gamma=3.0, distance=1e-5)(many)
    assert got.item() == pytest.approx(want.item(), rel=0.06)


@pytest.mark.parametrize("name", ["fd_r1", "fd_r2"])
def test_gats_own_noise_does_not_drown_the_slope(name):
    """With noise of its own in each pass, a difference over 0.01 would be of the order of 100."""
    torch.manual_seed(0)
    d = zoo.create("discriminator", "gat", image_size=8, channels=1, embedding=8, **SMALL)
    real, fake = torch.randn(2, 16, 1, 8, 8)
    torch.manual_seed(1)
    value = zoo.create("regularizer", name, gamma=2.0)(update_of(d, real, fake))
    images = {"fd_r1": real, "fd_r2": fake}[name].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(d(images).sum(), images)
    assert 0 < value.item() < 10 * gradient.flatten(1).square().sum(1).mean().item()
    value.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in d.parameters())
    assert d.tokens.weight.grad.any()
