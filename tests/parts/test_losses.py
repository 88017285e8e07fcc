"""Losses against closed forms, and their behaviour at scores of any size."""

from __future__ import annotations

import math

import pytest
import torch

import zoo.registry as registry
from zoo.core.errors import ZooError

SCORES = [(0.3, -0.7), (-2.0, 1.5), (0.0, 0.0), (4.0, 3.0)]


def sigmoid(s: float) -> float:
    return 1 / (1 + math.exp(-s))


# (name, D's loss of a real and a fake score, G's loss of a fake and a real score)
CLOSED_FORMS = {
    "bce": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda f, r: -math.log(sigmoid(f)),
    ),
    "minimax": (
        lambda r, f: -math.log(sigmoid(r)) - math.log(1 - sigmoid(f)),
        lambda f, r: math.log(1 - sigmoid(f)),
    ),
    "lsgan": (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda f, r: (f - 1) ** 2 / 2),
    "hinge": (lambda r, f: max(0, 1 - r) + max(0, 1 + f), lambda f, r: -f),
    "wgan": (lambda r, f: f - r, lambda f, r: -f),
    "wgan_gp": (lambda r, f: f - r, lambda f, r: -f),
    "rpgan": (
        lambda r, f: math.log(1 + math.exp(-(r - f))),
        lambda f, r: math.log(1 + math.exp(-(f - r))),
    ),
}


def test_the_closed_forms_are_of_the_zoo():
    own = {p.name for p in registry.REGISTRY.parts("loss") if p.source == "zoo"}
    assert set(CLOSED_FORMS) <= own  # the others: test_losses_more.py


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form(name):
    loss = registry.create("loss", name)
    of_d, of_g = CLOSED_FORMS[name]
    real, fake = torch.tensor(SCORES).unbind(1)
    want_d = torch.tensor([of_d(r, f) for r, f in SCORES])
    want_g = torch.tensor([of_g(f, r) for r, f in SCORES])
    torch.testing.assert_close(loss.discriminator(real, fake), want_d)
    torch.testing.assert_close(loss.generator(fake, real), want_g)
    assert loss.discriminator(real, fake).shape == real.shape  # per sample


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_finite_at_huge_scores(name):
    loss = registry.create("loss", name)
    extreme = torch.tensor([1e4, -1e4])
    for real in extreme:
        for fake in extreme:
            scores = torch.stack([real, fake]).requires_grad_()
            for value in (
                loss.discriminator(scores[0], scores[1]),
                loss.generator(scores[1], scores[0]),
            ):
                (gradient,) = torch.autograd.grad(value, scores)
                assert value.isfinite()
                assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["bce", "rpgan"])
def test_the_generator_still_learns_where_the_discriminator_is_sure(name):
    fake = torch.tensor([-200.0], requires_grad=True)
    registry.create("loss", name).generator(fake, torch.tensor([200.0])).sum().backward()
    assert fake.grad.item() == pytest.approx(-1)


def test_minimax_saturates():
    fake = torch.tensor([-20.0], requires_grad=True)
    registry.create("loss", "minimax").generator(fake).sum().backward()
    assert abs(fake.grad.item()) == pytest.approx(sigmoid(-20))


def test_bce_smoothing_is_cross_entropy_with_a_lower_target():
    real, fake = torch.tensor(SCORES).unbind(1)
    got = registry.create("loss", "bce", smoothing=0.1).discriminator(real, fake)
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    want = bce(real, torch.full_like(real, 0.9), reduction="none")
    want += bce(fake, torch.zeros_like(fake), reduction="none")
    torch.testing.assert_close(got, want)


def test_options():
    lsgan = registry.create("loss", "lsgan", a=-1.0, b=1.0, c=0.0)
    one = torch.ones(1)
    assert lsgan.discriminator(one, one).item() == 2
    assert lsgan.generator(one).item() == 0.5
    assert registry.create("loss", "hinge", margin=3.0).discriminator(one, -one).item() == 4
    with pytest.raises(ZooError, match=r"smoothing=1\.5"):
        registry.create("loss", "bce", smoothing=1.5)


def test_methods_bring_their_regularizer():
    (clipping,) = registry.create("loss", "wgan", clip=0.02).regularizers()
    assert clipping.clip == 0.02
    assert registry.create("loss", "wgan", clip=None).regularizers() == []
    (penalty,) = registry.create("loss", "wgan_gp", penalty=5.0, one_sided=True).regularizers()
    assert (penalty.penalty, penalty.one_sided, penalty.center) == (5.0, True, 1.0)


def test_only_relativistic_losses_need_real_scores():
    needing = {n for n in CLOSED_FORMS if registry.create("loss", n).needs_real}
    assert needing == {"rpgan"}
    with pytest.raises(ZooError, match="real images"):
        registry.create("loss", "rpgan").generator(torch.zeros(2))
