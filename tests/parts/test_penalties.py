"""The further regularizers: vectors made by hand, closed forms, and what their hooks do."""

from __future__ import annotations

import copy

import pytest
import torch
from tape import Recorder
from torch import nn

import zoo.registry as registry
from zoo.contracts.generator import Generator
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.layers.pixels import flip_and_shift, gather_pixels, mirrored
from zoo.parts.regularizers.optimal_transport import OptimalTransport
from zoo.training.cuda_graph import GraphedStep
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep

SLOPES = torch.tensor([[0.3, 0.4, 0], [1, 2, 2], [0, 0, 0]], dtype=torch.float64)
REAL = torch.tensor([1.5, -0.3, 0.2, 2.0], dtype=torch.float64)
FAKE = torch.tensor([-1.0, 0.4, 0.9, -0.6], dtype=torch.float64)
X = torch.tensor([[0, 1, 0.5], [0.2, -0.2, 0]], dtype=torch.float64)
G = torch.tensor([[0.5, 0.5, 0.5], [-0.8, 0.2, 1]], dtype=torch.float64)


def make(name: str, **options) -> Regularizer:
    return registry.create("regularizer", name, **options)


def said(scores: torch.Tensor, features: torch.Tensor | None = None) -> DiscriminatorOutput:
    return DiscriminatorOutput(scores, scores[:, None] if features is None else features, {})


def images_of(values: torch.Tensor) -> torch.Tensor:
    """Vectors (N, V) as images (N, V, 1, 1)."""
    return values[:, :, None, None]


class PerImage(nn.Module):
    """D whose gradient at image i is row i of `slopes`, and whose score is `scores` besides."""

    def __init__(self, slopes: torch.Tensor, scores: torch.Tensor | None = None) -> None:
        super().__init__()
        self.slopes = nn.Parameter(slopes.clone())
        self.scores = scores

    def outputs(self, x, y=None):
        flat = x.flatten(1)
        products = (flat * self.slopes).sum(1)
        if self.scores is not None:  # the gradient, moved to the value asked for
            products = products - products.detach() + self.scores
        return DiscriminatorOutput(products, flat, {})


class Quadratic(nn.Module):
    """D(x) = a |x|^2 / 2."""

    def __init__(self, a: float = 1.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def outputs(self, x, y=None):
        score = self.a * x.flatten(1).square().sum(1) / 2
        return DiscriminatorOutput(score, x.flatten(1), {"twice": 2 * score[:, None]})


def update_of(
    critic=None,
    real=None,
    fake=None,
    *,
    side="discriminator",
    real_output=None,
    fake_output=None,
    generator=None,
    z=None,
    generate=None,
    differentiable=(),
    labels=None,
) -> Update:
    """An update made by hand; what D says is computed where it is not given."""
    real = images_of(X) if real is None else real.clone()
    fake = images_of(G) if fake is None else fake
    if "real" in differentiable:
        real.requires_grad_()
    if "fake" in differentiable:
        fake = fake.clone().requires_grad_()
    if critic is not None:
        real_output = real_output or critic.outputs(real)
        fake_output = fake_output or critic.outputs(fake)
    z = fake.flatten(1) if z is None else z
    return Update(
        side=side,
        generator=generator,
        discriminator=critic,
        real=real,
        labels=labels,
        generated=GeneratorOutput(fake, z, z, labels),
        real_output=real_output,
        fake_output=fake_output,
        discriminate=lambda x, y, augmented=True: critic.outputs(x, y),
        generate=generate,
    )


def of_slopes(slopes=SLOPES, **options) -> Update:
    return update_of(
        PerImage(slopes),
        torch.zeros(3, 3, 1, 1).double(),
        torch.ones(3, 3, 1, 1).double(),
        **options,
    )


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


class Stretch(Generator):
    """G(z) = scale * z as pixels."""

    def __init__(self, scale: float = 2.0) -> None:
        super().__init__((1, 1), 3, 3)
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, z, y=None):
        return images_of(self.scale * z)


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


# Penalties of G ----------------------------------------------------------------------------------


def test_mode_seeking_vectors():
    z1 = torch.tensor([[1, 0, -1], [0.5, 0.5, 0]], dtype=torch.float64)
    z2 = torch.tensor([[0, 0, 1], [0.5, -0.5, 1]], dtype=torch.float64)
    update = update_of(
        fake_output=said(FAKE[:2]), fake=images_of(X), z=z1, side="generator",
        generate=lambda n, labels: GeneratorOutput(images_of(G), z2, z2, labels),
    )  # fmt: skip
    assert make("mode_seeking")(update).item() == pytest.approx(1.470567, abs=1e-6)
    bounded = make("mode_seeking", form="bounded")
    assert bounded(update).item() == pytest.approx(-0.766667, abs=1e-6)
    bounded = make("mode_seeking", form="bounded", limit=0.5, weight=8.0)
    assert bounded(update).item() == pytest.approx(-8 * (1 / 3 + 0.5) / 2)


@pytest.mark.parametrize(("distance", "want"), [("squared", 0.315), ("absolute", 0.266667)])
def test_feature_matching_vectors(distance, want):
    matching = make("feature_matching", distance=distance)
    assert matching.needs_real
    assert matching.sides == ("generator",)
    features = G.clone().requires_grad_()
    update = update_of(real_output=said(REAL[:2], X), fake_output=said(FAKE[:2], features))
    value = matching(update)
    assert value.item() == pytest.approx(want, abs=1e-6)
    value.backward()
    assert features.grad.any()


def test_top_k_vector_and_its_share():
    """The two best of four: the hinge loss of G is -(0.9 + 0.4) / 2."""
    top = make("top_k", share=0.5, decay=0.5, period=2)
    hinge = registry.create("loss", "hinge")
    values = []
    for _ in range(5):
        weights = top.weights(update_of(fake_output=said(FAKE), side="generator"))
        assert weights.mean().item() == pytest.approx(1)
        values.append((weights * hinge.generator(FAKE)).mean().item())
    whole, half = -FAKE.mean().item(), -0.65
    assert values == pytest.approx([whole, whole, half, half, half])


def test_top_k_ranks_images_by_their_mean_score():
    scores = torch.stack((FAKE, -2 * FAKE), 1)
    weights = make("top_k", share=0.25, decay=0.0).weights(update_of(fake_output=said(scores)))
    assert weights.tolist() == [4, 0, 0, 0]


def test_optimal_transport_by_hand():
    generator = Stretch(3.0)
    z = torch.randn(2, 3, dtype=torch.float64)
    critic = Quadratic()
    transport = OptimalTransport(weight=0.2, normalize=False)
    transport.setup(generator, None)
    value = transport(update_of(critic, fake=generator(z), z=z, side="generator"))
    torch.testing.assert_close(value, 0.2 * (2 * z).square().mean())
    wrong = registry.create("generator", "mlp", image_size=8, channels=1, latent_dim=5)
    with pytest.raises(ZooError, match=r"latent_dim=5 must be 64"):
        transport.setup(wrong, None)


def test_optimal_transport_brings_the_other_gradients_to_unit_rms():
    transport = OptimalTransport(weight=0.2).double()
    generator, squares = Stretch(3.0), []
    for factor in (1.0, 100.0, 100.0):  # whatever the scale of D's slopes
        z = torch.randn(2, 3, dtype=torch.float64)
        images = generator(z)
        update = update_of(Quadratic(factor), fake=images, z=z, side="generator")
        total = update.fake_output.scores.mean() + transport(update)
        got = []
        images.register_hook(got.append)  # after that of the regularizer
        total.backward()
        others = factor * images.detach() / 2  # of the mean of two scores
        squares.append(others.square().sum().item() * 6)
        average = squares[0]
        for square in squares[1:]:
            average = 0.9 * average + 0.1 * square
        own = 0.2 * 2 / 6 * (images - images_of(z)).detach()
        torch.testing.assert_close(got[0], others / average**0.5 + own)


def test_a_captured_step_with_transport_is_the_eager_one():
    """The images' gradient is changed inside the backward pass, on the device."""

    def made() -> AdversarialStep:
        torch.manual_seed(0)
        shape = {"image_size": 8, "channels": 1}
        generator = registry.create("generator", "mlp", **shape, latent_dim=64)
        discriminator = registry.create("discriminator", "mlp", **shape)
        return AdversarialStep(
            generator,
            discriminator,
            registry.create("loss", "afm", transport=0.2),
            adam(generator.parameters(), 1e-3, (0.5, 0.9)),
            adam(discriminator.parameters(), 1e-3, (0.5, 0.9)),
        )

    eager, step = made(), made()
    captured = GraphedStep(step, warmup=1, capture=Recorder())
    averages = []
    for index in range(5):
        torch.manual_seed(index)
        images = torch.rand(4, 1, 8, 8) * 2 - 1
        values = []
        for call in (eager, captured):
            torch.manual_seed(index)
            values.append(call(images, None, index))
        torch.testing.assert_close(*values, rtol=1e-3, atol=1e-4)
        averages.append(step.regularizers["optimal_transport"].average.item())
    assert captured.captured
    assert len(set(averages)) == 5


# Weights and tricks ------------------------------------------------------------------------------


def test_orthogonal_vector_and_gradient():
    layer = nn.Linear(3, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1, 2, 0], [0, 1, -1]]))
    network = nn.Sequential(layer, nn.Embedding(4, 3).double(), nn.BatchNorm1d(2).double())
    update = update_of(fake_output=said(FAKE), generator=network, side="generator")
    value = make("orthogonal", weight=1.0)(update)
    assert value.item() == 8
    value.backward()
    want = 2 * torch.tensor([[0, 4, -4], [4, 8, 0]], dtype=torch.float64)  # twice BigGAN's code
    torch.testing.assert_close(layer.weight.grad, want)


def test_orthogonal_kernels_are_seen_by_their_outputs():
    torch.manual_seed(0)
    for layer, matrix in (
        (nn.Conv2d(2, 4, 3), lambda w: w.flatten(1)),
        (nn.ConvTranspose2d(2, 4, 3), lambda w: w.transpose(0, 1).flatten(1)),
    ):
        update = update_of(fake_output=said(FAKE), generator=layer, side="generator")
        w = matrix(layer.weight)
        want = ((w @ w.T) * (1 - torch.eye(4))).square().sum()
        torch.testing.assert_close(make("orthogonal", weight=0.5)(update), 0.5 * want)
    assert make("orthogonal", network="both").sides == ("discriminator", "generator")
    assert make("orthogonal", network="discriminator").sides == ("discriminator",)


def test_lookahead_vector():
    """From 1 to 2 with alpha 1/2 gives 3/2, from where both go on."""
    ahead = make("lookahead", every=2)
    generator, discriminator = nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False)
    for weight in (generator.weight, discriminator.weight):
        nn.init.ones_(weight)
    ahead.setup(generator, discriminator)
    slow = copy.deepcopy(ahead.state_dict())
    for value, want in ((2.0, 1.5), (2.5, 2.0)):
        with torch.no_grad():
            generator.weight.fill_(value)
            discriminator.weight.fill_(value)
            ahead.setup(generator, discriminator)  # changes nothing
            ahead.after_update(generator)
        assert generator.weight.item() == want
        assert (discriminator.weight == want).all()
    assert sorted(slow) == ["slow_0", "slow_1"]
    assert ahead.state_dict()["slow_1"].tolist() == [[2.0], [2.0]]
    assert not list(ahead.parameters())
    assert ahead.sides == ("generator",)


def test_freeze_d_freezes_the_first_stages_only():
    made = registry.create("discriminator", "dcgan", image_size=32, channels=1, base_channels=4)
    stages = made.stages()
    make("freeze_d", stages=2).setup(None, made)
    for i, stage in enumerate(stages):
        assert {p.requires_grad for p in stage.parameters()} == {i >= 2}
    assert all(p.requires_grad for p in made.head.parameters())
    with pytest.raises(ZooError, match=f"more than the {len(stages)}"):
        make("freeze_d", stages=99).setup(None, made)


def test_logan_vectors():
    z = torch.tensor([[0.5, -0.2, 0.1], [0.9, 0.9, -0.9]], dtype=torch.float64)
    critic = PerImage(SLOPES[:2])
    logan = make("logan", share=1.0, clip=1.0, cost=1.0)
    with torch.no_grad():  # as in an update of D
        moved = logan.latents(z, None, lambda x, y: critic.outputs(x))
    want = [[0.551429, -0.131429, 0.1], [0.964286, 1.0, -0.771429]]
    torch.testing.assert_close(moved, torch.tensor(want).double(), rtol=0, atol=1e-6)
    assert not moved.requires_grad
    assert logan(update_of(fake_output=said(FAKE))) is None
    moved = logan.latents(z, None, lambda x, y: critic.outputs(x))
    cost = logan(update_of(fake_output=said(FAKE), side="generator"))
    assert cost.item() == pytest.approx(0.022270, abs=1e-6)
    assert (moved - z).square().sum(1).mean().item() == pytest.approx(0.019005, abs=1e-6)
    assert moved.requires_grad  # G learns through the step
    free = make("logan", share=1.0).latents(z, None, lambda x, y: critic.outputs(x))
    assert (free - z)[0].tolist() == pytest.approx([0.051429, 0.068571, 0.0], abs=1e-6)
    assert (free - z)[1].tolist() == pytest.approx([0.064286, 0.128571, 0.128571], abs=1e-6)


def test_logan_moves_a_share_of_the_values():
    torch.manual_seed(0)
    z = torch.zeros(1000, 3, dtype=torch.float64)
    critic = PerImage(torch.ones(1, 3, dtype=torch.float64))
    moved = make("logan", share=0.8).latents(z, None, lambda x, y: critic.outputs(x))
    share = (moved != 0).double().mean().item()
    assert share == pytest.approx(0.8, abs=6 * (0.16 / 3000) ** 0.5)


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
