"""The further losses against vectors made by hand, and what they bring along."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo.registry as registry
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError

REAL = torch.tensor([1.5, -0.3, 0.2, 2.0], dtype=torch.float64)
FAKE = torch.tensor([-1.0, 0.4, 0.9, -0.6], dtype=torch.float64)

VECTORS = [  # name, options, D's and G's mean loss of REAL and FAKE
    ("bce", {}, 1.171439, 0.801230),
    ("hinge", {}, 1.45, 0.075),
    ("lsgan", {}, 0.73875, 0.86625),
    ("lsgan", {"a": -1.0, "b": 1.0, "c": 0.0}, 1.16375, 0.29125),
    ("rpgan", {}, 0.589227, 1.514227),
    ("relativistic", {"kind": "bce"}, 0.812980, 2.662980),
    ("relativistic", {"kind": "least_squares"}, 1.460625, 8.860625),
    ("relativistic", {"kind": "hinge"}, 0.8875, 3.85),
    ("relativistic", {"kind": "bce", "halved": True}, 0.812980 / 2, 2.662980 / 2),
    ("relativistic", {"kind": "bce", "center": "pair"}, 0.589227, 1.514227),
    ("relativistic", {"kind": "hinge", "center": "pair"}, 0.85, 1.925),
    ("relativistic", {"kind": "least_squares", "center": "pair"}, 2.6475, 6.3475),
    ("dual_contrastive", {}, 1.218100 + 1.266474, -2.484573),
    ("dual_contrastive", {"generator": "swapped"}, 2.484573, 5.464255),
    ("softmax", {}, 2.078582, 2.541082),
    ("f_gan", {"divergence": "gan"}, 1.171439, 0.801230),
    ("f_gan", {"divergence": "kl"}, -0.402280, 0.075),
    ("f_gan", {"divergence": "reverse_kl"}, -0.443236, None),
    ("f_gan", {"divergence": "pearson"}, -0.779375, 0.075),
    ("f_gan", {"divergence": "squared_hellinger"}, -0.151207, None),
    ("f_gan", {"divergence": "jensen_shannon"}, -0.214856, None),
    ("f_gan", {"divergence": "total_variation"}, -0.247204, None),
    ("wgan_div", {}, -0.925, 0.075),
    ("gan_qp", {}, -0.925, 0.075),
    # 0.01 * mean of (0.5, 0.1, 1.1, 1.4)^2 on top of rpgan's
    ("afm", {}, 0.589227 + 0.01 * (0.25 + 0.01 + 1.21 + 1.96) / 4, 1.514227),
]
NAMES = sorted({name for name, *_ in VECTORS})


def test_every_loss_of_the_zoo_is_held_to_numbers():
    own = {p.name for p in registry.REGISTRY.parts("loss") if p.source == "zoo"}
    assert own == {"minimax", "wgan", "wgan_gp", *NAMES}  # those three by test_losses.py


@pytest.mark.parametrize(("name", "options", "of_d", "of_g"), VECTORS)
def test_vectors(name, options, of_d, of_g):
    loss = registry.create("loss", name, **options)
    assert loss.discriminator(REAL, FAKE).mean().item() == pytest.approx(of_d, abs=1e-6)
    if of_g is not None:
        assert loss.generator(FAKE, REAL).mean().item() == pytest.approx(of_g, abs=1e-6)


@pytest.mark.parametrize(("name", "options", "of_d", "of_g"), VECTORS)
def test_scores_in_several_columns_are_judged_column_by_column(name, options, of_d, of_g):
    loss = registry.create("loss", name, **options)
    real, fake = (torch.stack((x, 2 * x, -x), 1) for x in (REAL, FAKE))
    for got, alone in (
        (loss.discriminator(real, fake), loss.discriminator),
        (loss.generator(fake, real), lambda r, f: loss.generator(f, r)),
    ):
        assert got.shape == (4, 3)
        want = torch.stack([alone(real[:, k], fake[:, k]) for k in range(3)], 1)
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize(("name", "options", "of_d", "of_g"), VECTORS)
def test_finite_at_huge_scores(name, options, of_d, of_g):
    loss = registry.create("loss", name, **options)
    scores = torch.tensor([[1e4, -1e4, 1e4, -1e4], [1e4, 1e4, -1e4, -1e4]]).requires_grad_()
    for value in (loss.discriminator(*scores), loss.generator(scores[1], scores[0])):
        (gradient,) = torch.autograd.grad(value.sum(), scores)
        assert value.isfinite().all()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["relativistic", "dual_contrastive", "softmax", "afm"])
def test_relativistic_losses_ask_for_the_reals_scores(name):
    loss = registry.create("loss", name)
    assert loss.needs_real
    with pytest.raises(ZooError, match="real images"):
        loss.generator(FAKE)


def test_dual_contrastive_is_two_cross_entropies():
    """Of one real among all fakes, and of one fake among all reals."""
    of_d = registry.create("loss", "dual_contrastive").discriminator(REAL, FAKE)
    entropy = nn.functional.cross_entropy
    first = torch.tensor([0])
    for i in range(4):
        real = entropy(torch.cat((REAL[i : i + 1], FAKE))[None], first)
        fake = entropy(torch.cat((-FAKE[i : i + 1], -REAL))[None], first)
        torch.testing.assert_close(of_d[i], real + fake)


@pytest.mark.parametrize(
    ("divergence", "f"),
    [
        ("kl", lambda u: u * u.log()),
        ("reverse_kl", lambda u: -u.log()),
        ("pearson", lambda u: (u - 1).square()),
        ("squared_hellinger", lambda u: (u.sqrt() - 1).square()),
        ("jensen_shannon", lambda u: u * u.log() - (u + 1) * ((u + 1) / 2).log()),
        ("gan", lambda u: u * u.log() - (u + 1) * (u + 1).log()),
        ("total_variation", lambda u: (u - 1).abs() / 2),
    ],
)
def test_f_gan_bounds_its_divergence_from_below_and_attains_it(divergence, f):
    """The best scores of two distributions on five points give -D_f(P || Q)."""
    p = torch.tensor([0.1, 0.3, 0.25, 0.15, 0.2], dtype=torch.float64)
    q = torch.tensor([0.25, 0.05, 0.3, 0.2, 0.2], dtype=torch.float64)
    loss = registry.create("loss", "f_gan", divergence=divergence)
    scores = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=400, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        zero = torch.zeros_like(scores)
        real = loss.discriminator(scores, zero) - loss.discriminator(zero, zero) / 2
        fake = loss.discriminator(zero, scores) - loss.discriminator(zero, zero) / 2
        value = (p * real + q * fake).sum()
        value.backward()
        return value

    optimizer.step(closure)
    want = (q * f(p / q)).sum().item()
    assert -closure().item() == pytest.approx(
        want, abs=2e-3 if divergence == "total_variation" else 1e-6
    )


def test_f_gan_saturating_is_the_first_form():
    for divergence in ("gan", "kl"):
        loss = registry.create("loss", "f_gan", divergence=divergence, saturating=True)
        activation = registry.create("loss", "f_gan", divergence=divergence)
        fixed = torch.zeros_like(FAKE)
        # D's loss is -g(r) + f*(g(f)), so that G's saturating loss is -(D's) - g(r).
        want = -(activation.discriminator(fixed, FAKE) - activation.generator(fixed))
        torch.testing.assert_close(loss.generator(FAKE), want)


def test_options():
    with pytest.raises(ZooError, match="halved"):
        registry.create("loss", "relativistic", center="pair", halved=True)
    with pytest.raises(ZooError, match="scale=0"):
        registry.create("loss", "gan_qp", scale=0.0)
    for kind in ("loss", "regularizer"):  # NaN where D is flat
        with pytest.raises(ZooError, match=r"p=0\.5"):
            registry.create(kind, "wgan_div", p=0.5)


def test_methods_bring_their_penalties():
    (penalty,) = registry.create("loss", "wgan_div", k=3.0, p=4.0, points="ends").regularizers()
    assert (penalty.k, penalty.p, penalty.differentiates) == (3.0, 4.0, ("real", "fake"))
    (penalty,) = registry.create("loss", "gan_qp", scale=5.0, distance="l2").regularizers()
    assert (penalty.scale, penalty.distance) == (5.0, "l2")
    slope, transport = registry.create("loss", "afm", transport=0.2).regularizers()
    assert (slope.gamma, slope.share, slope.sigma) == (0.5, 0.25, 0.01)
    assert transport.weight == 0.2
    assert registry.create("loss", "afm", slope=0.0).regularizers() == []


def update_of(real, fake, real_scores, fake_scores, side="discriminator"):
    """An update of fixed images and scores."""
    images = fake.view(*fake.shape, 1, 1)
    return Update(
        side=side,
        generator=nn.Identity(),
        discriminator=nn.Identity(),
        real=real.view(*real.shape, 1, 1),
        labels=None,
        generated=GeneratorOutput(images, fake, fake, None),
        real_output=DiscriminatorOutput(real_scores, real_scores[:, None], {}),
        fake_output=DiscriminatorOutput(fake_scores, fake_scores[:, None], {}),
        discriminate=None,
        generate=None,
    )


@pytest.mark.parametrize(("distance", "want"), [("l1", -0.415938), ("l2", -0.502830)])
def test_gan_qp_by_hand(distance, want):
    real = torch.tensor([[0, 1, 0.5], [0.2, -0.2, 0]], dtype=torch.float64)
    fake = torch.tensor([[0.5, 0.5, 0.5], [-0.8, 0.2, 1]], dtype=torch.float64)
    r, f = REAL[:2], FAKE[:2]
    loss = registry.create("loss", "gan_qp", distance=distance)
    (penalty,) = loss.regularizers()
    value = penalty(update_of(real, fake, r, f))
    if distance == "l1":
        assert value.item() == pytest.approx((0.9375 + 0.030625) / 2, abs=1e-9)
    total = loss.discriminator(r, f).mean() + value
    assert total.item() == pytest.approx(want, abs=1e-6)
    # G's loss is the lead, of which D(x) is left out as a constant.
    assert (loss.generator(f) + r).mean().item() == pytest.approx(0.9)
    # Of a pair of one image D may say two things, through an augmentation.
    scores = r.clone().requires_grad_()
    same = penalty(update_of(real, torch.stack([real[0], fake[1]]), scores, f))
    one = penalty(update_of(real[1:], fake[1:], r[1:], f[1:]))
    assert same.item() == pytest.approx(one.item() / 2)
    (slope,) = torch.autograd.grad(same, scores)
    assert slope[0] == 0
    assert slope.isfinite().all()
