"""What every registered loss, regularizer and augmentation keeps to, as `test_contracts.py`."""

from __future__ import annotations

import pytest
import torch
from helpers_contracts import (
    CHANNELS,
    CLASSES,
    live,
    parametrize,
)
from part_steps import step_of, tiny_step
from tape import Recorder

import zoo.registry as registry
from zoo.training.cuda_graph import GraphedStep
from zoo.training.step import AdversarialStep


@parametrize("loss")
def test_losses_are_finite_per_sample_values_with_gradients(part):
    loss = registry.create(*part)
    for scale in (1.0, 1e4):  # saturated scores must not give inf or NaN
        torch.manual_seed(0)
        real, fake = (scale * torch.randn(2, 5)).requires_grad_().unbind()
        values = loss.discriminator(real, fake)
        assert values.shape == (5,)
        assert values.isfinite().all()
        slopes = torch.autograd.grad(values.sum(), (real, fake))
        assert all(s.isfinite().all() for s in slopes)
        values = loss.generator(fake, real.detach() if loss.needs_real else None)
        assert values.shape == (5,)
        assert values.isfinite().all()
        (slope,) = torch.autograd.grad(values.sum(), fake)
        assert slope.isfinite().all()
        if scale == 1.0:
            assert slope.any()
            assert all(s.any() for s in slopes)


@parametrize("loss")
def test_descending_a_loss_separates_scores_and_lifts_fakes(part):
    """D learns real > fake from scores alone; G lifts the score of its fakes."""
    loss = registry.create(*part)
    real, fake = torch.full((4,), -0.2), torch.full((4,), 0.2)
    for _ in range(50):
        real.requires_grad_(), fake.requires_grad_()
        down = torch.autograd.grad(loss.discriminator(real, fake).sum(), (real, fake))
        real, fake = ((s - 0.1 * d).detach() for s, d in zip((real, fake), down, strict=True))
    assert (real > fake).all()
    fake = torch.full((4,), -0.2, requires_grad=True)
    value = loss.generator(fake, torch.zeros(4) if loss.needs_real else None)
    (down,) = torch.autograd.grad(value.sum(), fake)
    assert (down < 0).all()


def run(step: AdversarialStep, index: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(index)
    images = torch.rand(4, CHANNELS, 16, 16) * 2 - 1
    before = [p.detach().clone() for p in step.discriminator.parameters()]
    metrics = step(images, torch.arange(4) % CLASSES, index)
    assert all(value.isfinite() for value in metrics.values()), metrics
    assert any(
        not torch.equal(p, q) for p, q in zip(step.discriminator.parameters(), before, strict=True)
    )
    return metrics


@parametrize("loss")
def test_a_step_with_each_loss(part):
    step = tiny_step(registry.create(*part))
    for index in range(2):
        run(step, index)


@parametrize("regularizer")
def test_a_step_with_each_regularizer(part):
    regularizer = registry.create(*part)
    step = tiny_step(registry.create("loss", "bce"), [regularizer])
    for index in range(2 * regularizer.every):
        metrics = run(step, index)
        if part[1] in metrics:
            assert metrics[part[1]].shape == ()
    networks = {"discriminator": step.discriminator, "generator": step.generator}
    for name, parameter in networks[regularizer.sides[0]].named_parameters():
        assert parameter.isfinite().all(), name


@parametrize("augmentation")
def test_augmentations_keep_shape_and_pass_gradients(part):
    augmentation = registry.create(*part)
    for channels, size in ((1, 8), (3, 32), (3, 28)):
        torch.manual_seed(0)
        images = (torch.rand(6, channels, size, size) * 2 - 1).requires_grad_()
        out = augmentation(images)
        assert out.shape == images.shape
        assert out.dtype == images.dtype
        assert out.isfinite().all()
        (slope,) = torch.autograd.grad(out.square().sum(), images, create_graph=True)
        assert slope.isfinite().all()
        assert slope.any()
    run(tiny_step(registry.create("loss", "bce"), augmentations=[augmentation]), 0)


@parametrize("augmentation")
def test_augmentations_are_reproducible(part):
    augmentation = registry.create(*part)
    images = torch.rand(4, 3, 16, 16)
    outputs = []
    for _ in range(2):
        torch.manual_seed(5)
        outputs.append(augmentation(images))
    assert torch.equal(*outputs)


@pytest.mark.usefixtures("float64")
@parametrize("generator", "discriminator", "head", "loss", "regularizer", "augmentation")
def test_a_captured_step_is_the_eager_one(part):
    """What a CUDA graph asks of a part: nothing read on the host, nothing counted in Python.

    A tape of torch's operations stands in for the graph; a part that fails here sets
    `claims_cuda_graph = False`.
    """
    if not live(part).claims_cuda_graph:
        return

    eager, step = step_of(part), step_of(part)
    captured = GraphedStep(step, warmup=1, capture=Recorder())
    size = step.generator.image_size
    for index in range(2 * max((r.every for r in step.regularizers.values()), default=1) + 3):
        torch.manual_seed(index)
        images, labels = torch.rand(4, CHANNELS, size, size) * 2 - 1, torch.arange(4) % CLASSES
        values = []
        for call in (eager, captured):
            torch.manual_seed(index)
            values.append(call(images, labels, index))
        torch.testing.assert_close(*values, rtol=1e-6, atol=1e-6, check_dtype=False)  # kept in fp32
    assert not captured.note
    assert captured.captured
    for network in ("generator", "discriminator"):
        pairs = zip(
            getattr(eager, network).parameters(), getattr(step, network).parameters(), strict=True
        )
        for p, q in pairs:
            torch.testing.assert_close(q, p)
