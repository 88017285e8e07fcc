"""What the step promises beyond its numbers: few passes, no stray gradients, its schedule."""

from __future__ import annotations

import pytest
import torch
from adversarial import (
    BATCH,
    CLASSES,
    assert_same,
    batch,
    make_step,
    networks,
)
from torch import nn

import zoo.registry as registry
from zoo.contracts.regularizer import Regularizer
from zoo.core.errors import ZooError
from zoo.parts.augmentations.diffaugment import DiffAugment
from zoo.parts.losses.hinge import Hinge
from zoo.training.backend import Backend
from zoo.training.ema import EMA
from zoo.training.optimizers import adam, lazy_adam


def test_the_discriminator_gets_no_gradient_from_the_generators_update():
    g, d = networks(d_norm=True)
    step = make_step(g, d, "rpgan")
    step.generator_update(*batch(0))
    assert all(p.grad is None for p in d.parameters())
    assert all(p.requires_grad for p in d.parameters())
    assert all(p.grad is not None for p in g.parameters())


def test_the_generator_gets_no_gradient_from_the_discriminators_update():
    g, d = networks()
    step = make_step(g, d, "hinge", [registry.create("regularizer", "gradient_penalty")])
    step.discriminator_update(*batch(0))
    assert all(p.grad is None for p in g.parameters())
    assert all(p.grad is not None for p in d.parameters())


def test_an_exception_leaves_the_discriminator_trainable():
    class Broken(Hinge):
        def generator(self, fake, real=None):
            raise RuntimeError("broken")

    g, d = networks()
    frozen = d.conv.bias.requires_grad_(False)
    step = make_step(g, d, Broken())
    with pytest.raises(RuntimeError, match="broken"):
        step(*batch(0), 0)
    assert all(p.requires_grad for p in d.parameters() if p is not frozen)
    assert not frozen.requires_grad  # what its owner froze stays frozen


def test_discriminator_passes_are_as_few_as_can_be():
    def passes(loss, regularizers=(), d_norm=False):
        g, d = networks(d_norm)
        step = make_step(g, d, loss, [registry.create("regularizer", r) for r in regularizers])
        sizes = []
        d.register_forward_hook(lambda m, args, out: sizes.append(len(args[0])))
        step(*batch(0), 0)
        return sizes

    n = BATCH
    assert passes("hinge") == [2 * n, n]
    assert passes("hinge", d_norm=True) == [n, n, n]
    assert passes("hinge", ["r1"]) == [n, n, n]  # R1 takes the step's own pass
    assert passes("rpgan", ["r1", "r2"]) == [n, n, n, n]  # + reals for the relativistic G
    assert passes("wgan_gp") == [2 * n, n, n]  # + interpolates


def test_one_power_iteration_per_update():
    g, _ = networks()
    d = registry.create("discriminator", "sn_cnn", image_size=8, channels=2, num_classes=CLASSES)
    step = make_step(g, d, "hinge", [registry.create("regularizer", "gradient_penalty")])
    from zoo.layers.spectral_norm import SpectralNorm

    calls = []
    norms = [m for m in d.modules() if isinstance(m, SpectralNorm)]
    assert norms
    norms[0].register_forward_hook(lambda *_: calls.append(1))
    step.discriminator_update(*batch(0))
    assert len(calls) == 1
    step.generator_update(*batch(0))
    assert len(calls) == 2


def test_lazy_schedule_counts_updates_of_the_network():
    class OnG(Regularizer):
        sides = ("generator",)

        def forward(self, update):
            assert update.real_output is None
            return update.generated.images.square().mean()

    r1 = registry.create("regularizer", "r1", every=2)
    lazy = registry.create("regularizer", "r2", every=4)
    step = make_step(*networks(), "hinge", [r1, lazy, OnG(3)], d_steps=3)
    assert list(step.regularizers) == ["r1", "r2", "on_g"]
    assert step.schedule(0) == (("r1", "r2"), (), ("r1",), ("on_g",))
    assert step.schedule(1) == ((), ("r1", "r2"), (), ())
    assert step.schedule(4) == (*step.schedule(0)[:3], ())
    values = step(*batch(0, 3), 0)
    assert set(values) == {"loss_d", "loss_g", "score_real", "score_fake", "r1", "r2", "on_g"}
    assert "on_g" not in step(*batch(1, 3), 1)


def test_doubled_regularizers_have_numbered_names():
    twice = [registry.create("regularizer", "r1") for _ in range(2)]
    assert list(make_step(*networks(), "hinge", twice).regularizers) == ["r1", "r1_2"]


def test_same_seed_same_result():
    def trained(seed):
        step = make_step(*networks(), "wgan_gp", augmentations=[DiffAugment()])
        torch.manual_seed(seed)
        for index in range(2):
            step(*batch(0), index)
        return step.generator

    assert_same(trained(1), trained(1), rtol=0, atol=0)


def test_the_average_follows_the_generator_by_its_formula():
    g, d = networks()
    ema = EMA(g, half_life=10.0, rampup=None)
    step = make_step(g, d, "hinge", ema=ema, d_steps=2)
    beta = 0.5 ** (2 * BATCH / 10)
    want = [p.detach().clone() for p in g.parameters()]
    for index in range(3):
        step(*batch(index, 2), index)
        want = [
            beta * w + (1 - beta) * p.detach() for w, p in zip(want, g.parameters(), strict=True)
        ]
    for average, w in zip(ema.module.parameters(), want, strict=True):
        torch.testing.assert_close(average, w)


@pytest.mark.parametrize("penalties", [(), ("r1",), ("gradient_penalty",)])
def test_bf16_autocast_uses_the_weights_of_now(penalties):
    """Autocast caches low-precision weights; across optimizer steps these would be stale."""

    def train(nested):
        g, d = networks()
        regularizers = [registry.create("regularizer", name) for name in penalties]
        step = make_step(g, d, "hinge", regularizers, d_steps=2, reuse_fakes=False)
        torch.manual_seed(1)
        images, labels = batch(0, 2)
        torch.manual_seed(2)
        autocast = torch.autocast("cpu", dtype=torch.bfloat16)
        if nested:  # one region around everything, as a training framework has it
            with autocast:
                step(images, labels, 0)
        else:
            for j in range(2):
                part = slice(j * BATCH, (j + 1) * BATCH)
                with autocast:
                    step.discriminator_update(images[part], labels[part], j)
            with autocast:
                step.generator_update(images[part], labels[part], 0)
        return g, d

    for one, other in zip(train(True), train(False), strict=True):
        assert_same(one, other, rtol=0, atol=0)


def test_penalties_under_autocast_have_fp32_second_derivatives():
    g, d = networks()
    r1 = registry.create("regularizer", "r1", gamma=1.0)

    class Nothing(Hinge):
        def discriminator(self, real, fake):
            return 0 * real

    gradients = []
    for enabled in (False, True):
        step = make_step(g, d, Nothing(), [r1], backend=NoStep())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            step.discriminator_update(*batch(0))
        gradients.append([p.grad for p in d.parameters()])
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)


class NoStep(Backend):
    def optimize(self, optimizer, network):
        pass


def test_the_backend_is_asked_in_order():
    calls = []

    class Recording(Backend):
        def backward(self, loss, retain_graph=False):
            calls.append("backward")
            super().backward(loss, retain_graph)

        def sync_gradients(self, network):
            calls.append(type(network).__name__)

        def optimize(self, optimizer, network):
            calls.append("optimize")
            super().optimize(optimizer, network)

        def count_step(self):
            calls.append("count")

    make_step(*networks(), "hinge", backend=Recording())(*batch(0), 0)
    one = ["backward", "TinyDiscriminator", "optimize"]
    assert calls == [*one, "backward", "TinyGenerator", "optimize", "count"]


def test_a_batch_that_d_steps_does_not_divide_is_refused():
    step = make_step(*networks(), "hinge", d_steps=3)
    with pytest.raises(ZooError, match=r"batch of 4 images .* d_steps=3"):
        step(*batch(0), 0)
    with pytest.raises(ZooError, match="d_steps=0"):
        make_step(*networks(), "hinge", d_steps=0)


# Optimizers --------------------------------------------------------------------------------------


def test_fused_adam_equals_plain_adam_and_takes_integer_betas():
    torch.manual_seed(0)
    one, two = (nn.Parameter(torch.ones(5)) for _ in range(2))
    fused, plain = adam([one], 0.1, (0, 0.9)), torch.optim.Adam([two], 0.1, (0.0, 0.9))
    for _ in range(3):
        gradient = torch.randn(5)
        one.grad, two.grad = gradient.clone(), gradient.clone()
        fused.step()
        plain.step()
    torch.testing.assert_close(one, two)


def test_lazy_adam():
    lr, betas = lazy_adam(0.002, (0.0, 0.99), 16)
    assert lr == pytest.approx(0.002 * 16 / 17)
    assert betas == (0, pytest.approx(0.99 ** (16 / 17)))
    assert lazy_adam(0.002, (0.5, 0.99), 1) == (0.002, (0.5, 0.99))
