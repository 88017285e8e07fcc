"""The further regularizers: vectors made by hand, closed forms, and what their hooks do."""

from __future__ import annotations

import pytest
import torch
from helpers_penalties import (
    FAKE,
    REAL,
    SLOPES,
    G,
    PerImage,
    Quadratic,
    Stretch,
    X,
    make,
    of_slopes,
    said,
    update_of,
)
from torch import nn

import zoo.registry as registry
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.core.errors import ZooError
from zoo.layers.pixels import flip_and_shift, gather_pixels, mirrored
from zoo.parts.regularizers.gradient_penalty import between

# Gradient penalties ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "want"),
    [
        ("gradient_penalty", {"penalty": 1.0}, 1.75),
        ("gradient_penalty", {"penalty": 1.0, "one_sided": True}, 1.333333),
        ("gradient_penalty", {"penalty": 1.0, "center": 0.0}, 3.083333),
        ("r1", {"gamma": 1.0}, 1.541667),
        ("r2", {"gamma": 1.0}, 1.541667),
        ("max_gp", {"penalty": 1.0}, 9.0),
        ("wgan_div", {"k": 1.0}, 243.005208),
        ("wgan_div", {"k": 1.0, "points": "ends"}, 243.005208),
        ("wgan_div", {"k": 2.0, "p": 2.0}, 2 * 3.083333),
    ],
)
def test_slope_vectors(name, options, want):
    penalty = make(name, **options)
    update = of_slopes(differentiable=penalty.differentiates)
    value = penalty(update)
    assert value.item() == pytest.approx(want, abs=1e-6)
    value.backward()
    assert update.discriminator.slopes.grad.isfinite().all()


@pytest.mark.parametrize(("pairing", "want"), [("index", 1.5), ("means", 0.111111)])
def test_dig_vectors(pairing, want):
    """Norms of (1, 1, 0.5) on reals against (0.5, 3, 0) on fakes."""
    update = of_slopes()
    rows = torch.eye(3, dtype=torch.float64) * torch.tensor([1, 1, 0.5], dtype=torch.float64)
    update._gradients.update(real=rows, fake=SLOPES)
    assert make("dig", weight=1.0, pairing=pairing)(update).item() == pytest.approx(want, abs=1e-6)


def test_dig_takes_the_steps_own_passes_and_acts_every_fourth_time():
    dig = make("dig")
    assert (dig.every, dig.weight) == (4, 10.0)
    critic = Quadratic(2.0)
    update = update_of(critic, differentiable=dig.differentiates)
    update.discriminate = None  # no further pass
    gap = 2 * (X.norm(dim=1) - G.norm(dim=1))
    torch.testing.assert_close(dig(update), 10 * gap.square().mean())


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_finite_differences_of_a_linear_critic_are_its_slope(share):
    """((D(x + s n) - D(x)) / s)^2 = (w . n)^2, whose mean is |w|^2."""
    torch.manual_seed(0)
    n = 20000
    critic = PerImage(torch.tensor([[0.3, 0.4, 0.5]], dtype=torch.float64))
    images = torch.rand(n, 3, 1, 1, dtype=torch.float64)
    update = update_of(critic, images, images)
    seen = []
    update.discriminate = lambda x, y, augmented=True: (
        seen.append((len(x), augmented)) or critic.outputs(x, y)
    )
    penalty = make("finite_difference", gamma=2.0, gamma_fake=4.0, share=share)(update)
    # The mean of n squares of a normal number has the standard deviation sqrt(2 / n).
    assert penalty.item() == pytest.approx((1 + 2) * 0.5, rel=6 * (2 / (n * share)) ** 0.5)
    assert seen == [(n * share, True)] * 4  # on each side both passes, through the augmentation


def test_gradient_normalization_vectors():
    wrapper = make("gradient_normalization")
    critic = PerImage(SLOPES, scores=torch.tensor([1.5, -0.3, 0.2], dtype=torch.float64))
    images = torch.rand(3, 3, 1, 1, dtype=torch.float64)
    want = torch.tensor([0.75, -0.090909, 1.0], dtype=torch.float64)
    for context in (torch.enable_grad, torch.no_grad):
        with context():
            scores = wrapper.wrap_discriminator(critic.outputs, images, None).scores
        torch.testing.assert_close(scores, want, rtol=0, atol=1e-6)
        assert scores.requires_grad == (context is torch.enable_grad)


def test_gradient_normalization_reaches_both_networks_by_its_second_derivative():
    wrapper = make("gradient_normalization")
    critic = Quadratic(3.0)
    source = torch.rand(4, 3, 1, 1, dtype=torch.float64, requires_grad=True)
    scores = wrapper.wrap_discriminator(critic.outputs, 2 * source, None).scores
    # D = a r^2 / 2 and |grad D| = a r give D' = r / (2 + r), in which a has no part.
    radius = (2 * source).flatten(1).norm(dim=1)
    torch.testing.assert_close(scores, radius / (2 + radius))
    (got,) = torch.autograd.grad(scores.sum(), source, retain_graph=True)
    (want,) = torch.autograd.grad((radius / (2 + radius)).sum(), source)
    torch.testing.assert_close(got, want)
    scores.sum().backward()
    assert critic.a.grad.abs().item() < 1e-12
    with pytest.raises(ZooError, match="one score per image"):
        wrapper.wrap_discriminator(lambda x, y: said(x.flatten(1)), source, None)


def test_gradient_normalization_has_no_huge_slope_where_nothing_reaches_the_score():
    """As of a ReLU that is dead for an image, before a layer whose bias is still 0."""
    bias = torch.zeros((), requires_grad=True)
    images = torch.rand(2, 3, 1, 1)
    alive = torch.tensor([0.0, 1.0])

    def critic(x, y):
        return said(bias + alive * x.flatten(1).sum(1))

    scores = make("gradient_normalization").wrap_discriminator(critic, images, None).scores
    assert scores[0] == 0
    (slope,) = torch.autograd.grad(scores[0], bias)
    assert slope == 1


# Consistency -------------------------------------------------------------------------------------


def test_cr_vector():
    update = update_of(fake_output=said(FAKE[:2]), real_output=said(torch.tensor([1.0, 2.0])))
    update.discriminate = lambda x, y: said(torch.tensor([0.5, 2.5]))
    assert make("cr", weight=1.0)(update).item() == 0.25


def test_bcr_is_cr_on_both_sides():
    update = update_of(
        real_output=said(torch.tensor([1.0, 2.0])), fake_output=said(torch.tensor([0.0, 1.0]))
    )
    answers = iter([torch.tensor([0.5, 2.5]), torch.tensor([2.0, 1.0])])
    update.discriminate = lambda x, y: said(next(answers))
    assert make("bcr", real=4.0, fake=3.0)(update).item() == 4 * 0.25 + 3 * 2


def test_cr_holds_what_heads_read_where_asked():
    critic = Quadratic()
    update = update_of(critic)
    update.discriminate = lambda x, y: critic.outputs(2 * update.real)
    gap = (critic.outputs(2 * update.real).scores - update.real_output.scores).square().mean()
    torch.testing.assert_close(make("cr", weight=1.0)(update), gap)
    torch.testing.assert_close(make("cr", weight=1.0, extra=True)(update), gap + 4 * gap)


@pytest.mark.parametrize("name", ["cr", "bcr"])
def test_consistency_is_of_images_and_not_of_the_places_of_their_scores(name):
    """Scores of pixels, and maps of them, move with an image that is flipped."""

    class Pixels(nn.Module):
        def outputs(self, x, y=None):
            return DiscriminatorOutput(x.flatten(1), x.flatten(1).mean(1), {"pixels": x})

    torch.manual_seed(0)
    real, fake = torch.rand(2, 8, 1, 4, 4, dtype=torch.float64)  # too small to be shifted
    value = make(name, extra=True)(update_of(Pixels(), real, fake))
    torch.testing.assert_close(value, torch.zeros_like(value))


def test_flip_and_shift_moves_whole_pixels_and_reflects():
    torch.manual_seed(0)
    images = torch.rand(64, 2, 16, 24)
    moved = flip_and_shift(images)
    seen = set()
    for image, got in zip(images, moved, strict=True):
        found = []
        for flip in (False, True):
            turned = image.flip(2) if flip else image
            padded = nn.functional.pad(turned[None], (3, 3, 2, 2), mode="reflect")[0]
            for dy in range(5):
                for dx in range(7):
                    if torch.equal(padded[:, dy : dy + 16, dx : dx + 24], got):
                        found.append((flip, dy, dx))
        assert len(found) >= 1
        seen.add(found[0])
    assert {f for f, *_ in seen} == {False, True}
    assert len(seen) > 30  # of 70


def test_mirrored_positions():
    assert mirrored(torch.arange(-5, 9), 4).tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert mirrored(torch.arange(-2, 3), 1).tolist() == [0] * 5
    x = torch.rand(2, 3, 4, 5)
    rows, columns = torch.arange(4)[None, :, None], torch.arange(5)[None, None]
    assert torch.equal(gather_pixels(x, rows.expand(2, 4, 5), columns.expand(2, 4, 5)), x)


def test_zcr_by_hand():
    torch.manual_seed(0)
    zcr = make("zcr", discriminator=5.0, generator=0.5, sigma=0.1)
    generator, critic = Stretch(), Quadratic()
    z = torch.randn(2, 3, dtype=torch.float64)
    update = update_of(critic, fake=generator(z).detach(), generator=generator, z=z)
    torch.manual_seed(1)
    of_d = zcr(update)
    torch.manual_seed(1)
    near = z + 0.1 * torch.randn_like(z)
    gap = critic.outputs(generator(z)).scores - critic.outputs(generator(near)).scores
    torch.testing.assert_close(of_d, 5 * gap.square().mean())
    of_d.backward()
    assert generator.scale.grad is None
    assert critic.a.grad is not None
    update = update_of(critic, fake=generator(z), generator=generator, z=z, side="generator")
    torch.manual_seed(1)
    of_g = zcr(update)
    torch.testing.assert_close(of_g, -0.5 * (2 * (z - near)).square().mean())
    of_g.backward()
    assert generator.scale.grad < 0  # descending the loss stretches G


# LeCam -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("every", [1, 4])
def test_lecam_in_double_precision(debias, every):
    lecam = make("lecam", weight=0.5, decay=0.9, start=0, debias=debias, every=every)
    reals, fakes, decay = [], [], 0.9**every
    for i in range(4):
        real, fake = REAL + i, FAKE - i
        reals.append(real.mean().item())
        fakes.append(fake.mean().item())
        # Weights (1 - decay) decay^age; the first one's share goes to it, or to all.
        ages = [decay ** (i - j) for j in range(i + 1)]
        shares = [(1 - decay) * a for a in ages]
        if debias:
            shares = [s / (1 - decay ** (i + 1)) for s in shares]
        else:
            shares[0] = ages[0]
        mean_real, mean_fake = (
            sum(s * v for s, v in zip(shares, values, strict=True)) for values in (reals, fakes)
        )
        want = (real - mean_fake).relu().square() + (mean_real - fake).relu().square()
        got = lecam(update_of(real_output=said(real), fake_output=said(fake)))
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, 0.5 * want.mean(), rtol=1e-5, atol=1e-6)


def test_lecam_has_its_authors_two_recipes():
    from omegaconf import OmegaConf

    from zoo.registry.places import ROOT

    folder = ROOT / "configs" / "model" / "regularizer"
    recipes = {
        "lecam_biggan": (0.3, 0.9, 1000, False),
        "lecam_stylegan2": (1e-6, 0.99, 0, True),
    }
    for name, want in recipes.items():
        options = OmegaConf.to_container(OmegaConf.load(folder / f"{name}.yaml"))
        assert options.pop("defaults") == ["lecam"]
        made = make("lecam", **options)
        assert (made.weight, made.decay, made.start, made.debias) == want
    made = make("lecam")
    assert (made.weight, made.decay, made.start, made.debias) == recipes["lecam_biggan"]


# All of them -------------------------------------------------------------------------------------

SCHEDULED = [
    (part.name, option)
    for part in registry.REGISTRY.parts("regularizer")
    if part.source == "zoo"
    for option in part.load().schedulable
]


@pytest.mark.parametrize(("name", "option"), SCHEDULED)
def test_what_can_be_scheduled_is_an_option(name, option):
    part = registry.REGISTRY.get("regularizer", name)
    assert option in {p.name for p in part.options}
    assert hasattr(make(name), option)


WEIGHTED = {"cr": "weight", "bcr": "real", "max_gp": "penalty", "dig": "weight", "wgan_div": "k",
            "finite_difference": "gamma", "gan_qp": "scale", "orthogonal": "weight",
            "feature_matching": "weight"}  # fmt: skip


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_works_as_a_tensor(name):
    """As a schedule makes it."""
    values = []
    for tensor in (False, True):
        penalty = make(name)
        option = WEIGHTED[name]
        setattr(penalty, option, torch.tensor(3.0) if tensor else 3.0)
        torch.manual_seed(0)
        generator = nn.Linear(3, 3).double()
        update = update_of(Quadratic(), generator=generator, side=penalty.sides[0])
        values.append(penalty(update))
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("name", ["max_gp", "dig", "wgan_div", "finite_difference"])
def test_penalties_are_fp32_under_autocast(name):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1))

    class Critic(nn.Module):
        def outputs(self, x, y=None):
            return said(network(x).squeeze(1))

    real, fake = torch.rand(2, 5, 3, 2, 2)
    values = []
    for enabled in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            values.append(make(name)(update_of(Critic(), real, fake)))
    assert values[1].dtype == torch.float32
    torch.testing.assert_close(values[1], values[0], rtol=1e-6, atol=1e-7)


def test_images_that_are_seen_as_one_lie_on_one_line():
    """Between a pack of reals and one of fakes, as D sees them."""
    real, fake = torch.zeros(6, 3, 1, 1), torch.ones(6, 3, 1, 1)
    places = between(update_of(real=real, fake=fake, fake_output=said(torch.zeros(3))))
    packs = places.reshape(3, 6)
    torch.testing.assert_close(packs, packs[:, :1].expand(3, 6))
    assert len(packs[:, 0].unique()) == 3
