"""Regularizers against closed forms: linear and quadratic critics know their own gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo.registry as registry
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError


class Linear(nn.Module):
    """D(x) = w . x, whose gradient is w everywhere."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.full((12,), slope / 12**0.5))

    def forward(self, x, y=None):
        return x.flatten(1) @ self.w


class Quadratic(nn.Module):
    """D(x) = a |x|^2 / 2, whose gradient is a x."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, x, y=None):
        return self.a * x.flatten(1).square().sum(1) / 2


def make_update(critic, real, fake, differentiable=(), augment=lambda x: x, labels=None):
    real, fake = real.clone(), fake.clone()
    if "real" in differentiable:
        real.requires_grad_()
    if "fake" in differentiable:
        fake.requires_grad_()

    z = torch.zeros(len(fake), 1)

    def discriminate(images, labels, augmented=True):
        scores = critic(augment(images) if augmented else images, labels)
        return DiscriminatorOutput(scores, scores[:, None], {})

    return Update(
        side="discriminator",
        generator=nn.Identity(),
        discriminator=critic,
        real=real,
        labels=labels,
        generated=GeneratorOutput(fake, z, z, labels),
        real_output=discriminate(real, labels),
        fake_output=discriminate(fake, labels),
        discriminate=discriminate,
        generate=lambda n, labels=None: None,
    )


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.rand(5, 3, 2, 2) * 2 - 1, torch.rand(5, 3, 2, 2) * 2 - 1


@pytest.mark.parametrize("own_pass", [True, False])
@pytest.mark.parametrize(("name", "side"), [("r1", 0), ("r2", 1)])
def test_r1_and_r2(images, name, side, own_pass):
    regularizer = registry.create("regularizer", name, gamma=4.0)
    differentiable = regularizer.differentiates if own_pass else ()
    linear = regularizer(make_update(Linear(3.0), *images, differentiable))
    assert linear.item() == pytest.approx(4 / 2 * 3.0**2)
    critic = Quadratic(1.5)
    penalty = regularizer(make_update(critic, *images, differentiable))
    squares = images[side].flatten(1).square().sum(1).mean()
    torch.testing.assert_close(penalty, 4 / 2 * 1.5**2 * squares)
    penalty.backward()  # d/da of gamma/2 a^2 |x|^2
    torch.testing.assert_close(critic.a.grad, 4 * 1.5 * squares)


def test_the_own_pass_is_used_and_used_once(images):
    critic = Quadratic(1.0)
    update = make_update(critic, *images, ("real",))
    calls = []
    critic.register_forward_hook(lambda *_: calls.append(1))
    first = registry.create("regularizer", "r1")(update)
    second = registry.create("regularizer", "r1")(update)
    assert calls == []
    torch.testing.assert_close(first, second)


def test_penalties_go_through_the_augmentation(images):
    penalty = registry.create("regularizer", "r1", gamma=2.0)
    for differentiable in (("real",), ()):
        update = make_update(Linear(1.0), *images, differentiable, augment=lambda x: 3 * x)
        assert penalty(update).item() == pytest.approx(9)


@pytest.mark.parametrize("name", ["gradient_penalty", "dragan"])
@pytest.mark.parametrize(
    ("slope", "center", "one_sided", "want"),
    [(3.0, 1.0, False, 4.0), (0.5, 1.0, False, 0.25), (0.5, 1.0, True, 0.0), (3.0, 1.0, True, 4.0),
     (3.0, 0.0, False, 9.0)],
)  # fmt: skip
def test_slope_penalties_of_a_linear_critic(images, name, slope, center, one_sided, want):
    penalty = registry.create("regularizer", name, penalty=7.0, center=center, one_sided=one_sided)(
        make_update(Linear(slope), *images)
    )
    assert penalty.item() == pytest.approx(7 * want, abs=1e-6)


def test_gradient_penalty_takes_one_point_per_image_between_real_and_fake(images):
    seen = []

    class Critic(Quadratic):
        def forward(self, x, y=None):
            seen.append(x.detach())
            return super().forward(x, y)

    real, fake = images
    update = make_update(Critic(2.0), real, fake)
    seen.clear()
    penalty = registry.create("regularizer", "gradient_penalty")(update)
    (points,) = seen
    share = (points - fake) / (real - fake)  # one epsilon per image, the same for all its values
    torch.testing.assert_close(share, share[:, :1, :1, :1].expand_as(share), rtol=1e-3, atol=1e-3)
    assert share.min() >= 0
    assert share.max() <= 1
    assert share[:, 0, 0, 0].unique().numel() == len(real)
    want = 10 * ((2 * points.flatten(1)).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(penalty, want)


def test_dragan_perturbs_reals_by_half_a_standard_deviation(images):
    seen = []

    class Critic(Quadratic):
        def forward(self, x, y=None):
            seen.append(x.detach())
            return super().forward(x, y)

    update = make_update(Critic(1.0), *images)
    seen.clear()
    registry.create("regularizer", "dragan")(update)
    shift = (seen[0] - images[0]) / images[0].std()
    assert shift.min() >= 0
    assert shift.max() <= 0.5
    assert shift.unique().numel() == shift.numel()


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty", "dragan"])
def test_a_zero_gradient_gives_no_nan(images, name):
    critic = Linear(0.0)
    regularizer = registry.create("regularizer", name)
    penalty = regularizer(make_update(critic, *images, regularizer.differentiates))
    penalty.backward()
    assert penalty.isfinite()
    assert critic.w.grad.isfinite().all()


@pytest.mark.parametrize("name", ["r1", "r2", "gradient_penalty", "dragan"])
def test_penalties_are_fp32_under_autocast(images, name):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1))

    class Critic(nn.Module):
        def forward(self, x, y=None):
            return critic(x).squeeze(1)

    regularizer = registry.create("regularizer", name)
    torch.manual_seed(1)
    want = regularizer(make_update(Critic(), *images))
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = regularizer(make_update(Critic(), *images))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


def test_weight_clipping():
    network = nn.Linear(4, 4)
    clipping = registry.create("regularizer", "weight_clipping", clip=0.1)
    with torch.no_grad():
        before = network.weight.clone()
        clipping.after_update(network)
        torch.testing.assert_close(network.weight.detach(), before.clamp(-0.1, 0.1))
        network.weight.copy_(before)
        network.weight.requires_grad_(False)
        clipping.after_update(network)
        assert torch.equal(network.weight, before)  # as freeze_d asks for
    with pytest.raises(ZooError, match="clip=0"):
        registry.create("regularizer", "weight_clipping", clip=0.0)


def test_lecam_by_hand(images):
    lecam = registry.create("regularizer", "lecam", weight=0.5, decay=0.9, start=1)
    mean_real = mean_fake = None
    for step, slope in enumerate((1.0, 2.0, -1.0)):
        update = make_update(Linear(slope), *images)
        real, fake = update.real_output.scores, update.fake_output.scores
        penalty = lecam(update)
        if step == 0:
            mean_real, mean_fake = real.mean().item(), fake.mean().item()
        else:
            mean_real = 0.9 * mean_real + 0.1 * real.mean().item()
            mean_fake = 0.9 * mean_fake + 0.1 * fake.mean().item()
        want = 0.5 * ((real - mean_fake).relu() ** 2 + (mean_real - fake).relu() ** 2).mean()
        torch.testing.assert_close(penalty, want if step >= 1 else torch.zeros(()))


def test_a_lazy_lecam_starts_and_averages_by_updates_not_by_calls(images):
    lecam = registry.create("regularizer", "lecam", decay=0.9, start=10, every=4)
    means, active = [], []
    for update in (0, 4, 8, 12):
        step = make_update(Linear(1.0 + update), *images)
        active.append(lecam(step).item() > 0)
        mean = step.real_output.scores.mean().item()
        means.append(means[-1] * 0.9**4 + (1 - 0.9**4) * mean if means else mean)
    assert active == [False, False, False, True]
    assert lecam.average_real.item() == pytest.approx(means[-1], rel=1e-5)


@pytest.mark.parametrize(
    "name", ["r1", "r2", "gradient_penalty", "dragan", "weight_clipping", "lecam"]
)
def test_every_must_be_positive(name):
    assert registry.create("regularizer", name, every=4).every == 4
    with pytest.raises(ZooError, match="every=0"):
        registry.create("regularizer", name, every=0)


def test_labels_reach_the_penalty(images):
    class Conditional(nn.Module):
        def forward(self, x, y=None):
            return x.flatten(1).sum(1) * y

    labels = torch.tensor([0, 1, 2, 3, 4])
    penalty = registry.create("regularizer", "r1", gamma=2.0)(
        make_update(Conditional(), *images, labels=labels)
    )
    assert penalty.item() == pytest.approx(12 * labels.square().float().mean().item())
