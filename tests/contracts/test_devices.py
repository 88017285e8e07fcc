"""Every part trains on a GPU: by shapes on any machine, and as it is where there is one."""

from __future__ import annotations

import pytest
import torch
from fake_device import FakeDevice
from helpers_contracts import CHANNELS, CLASSES, live, parametrize
from part_steps import run_by_shapes, step_of, tiny_step

import zoo.registry as registry
from zoo.contracts.augmentation import Augmentation
from zoo.training.cuda_graph import GraphedStep, obstacle

IN_A_STEP = ("generator", "discriminator", "head", "loss", "regularizer", "augmentation")
"""Kinds of parts that act in a step."""
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@parametrize(*IN_A_STEP)
def test_a_step_stays_on_its_device(part):
    """No tensor of the host meets one of the device; for a graph none is moved there either."""
    device = FakeDevice()
    run_by_shapes(step_of(part, place=device.place), device, not live(part).claims_cuda_graph)


class Shifts(Augmentation):
    """A tensor that is no buffer stays on the processor."""

    def __init__(self, moves: bool) -> None:
        super().__init__()
        self.moves = moves
        self.shift = torch.full((1, 1, 1), 0.1)

    def forward(self, images):
        return images + (self.shift.to(images.device) if self.moves else self.shift)


@pytest.mark.parametrize("moves", [False, True])
def test_a_tensor_of_the_host_is_seen(moves):
    device = FakeDevice()
    shifts = Shifts(moves)
    step = tiny_step(registry.create("loss", "bce"), (), [shifts], place=device.place)
    with device._mode:
        shifts.shift = torch.full((1, 1, 1), 0.1)
    said = "copied from the processor" if moves else "two different devices|least two devices"
    with pytest.raises(RuntimeError, match=said):
        run_by_shapes(step, device, copies=False)


@needs_cuda
@pytest.mark.usefixtures("float64")
@parametrize(*IN_A_STEP)
def test_a_step_in_a_cuda_graph_is_the_eager_one(part):
    """In float64; a part that claims no graph is told and trains eagerly."""
    eager, step = (step_of(part, place=lambda module: module.cuda()) for _ in range(2))
    captured = GraphedStep(step, warmup=2)
    size = step.generator.image_size
    for index in range(2 * max((r.every for r in step.regularizers.values()), default=1) + 4):
        torch.manual_seed(index)
        images = torch.rand(4, CHANNELS, size, size, device="cuda") * 2 - 1
        labels = torch.arange(4, device="cuda") % CLASSES
        values = []
        for call in (eager, captured):
            torch.manual_seed(index)
            values.append(call(images, labels, index))
        torch.testing.assert_close(*values, rtol=1e-5, atol=1e-6, check_dtype=False)
    assert captured.note == obstacle(step)
    assert bool(captured.captured) == live(part).claims_cuda_graph
    for network in ("generator", "discriminator"):
        for p, q in zip(
            getattr(eager, network).parameters(), getattr(step, network).parameters(), strict=True
        ):
            torch.testing.assert_close(q, p, rtol=1e-5, atol=1e-6)


@needs_cuda
@parametrize(*IN_A_STEP)
def test_a_step_in_bf16_on_cuda_is_finite(part):
    step = GraphedStep(step_of(part, place=lambda module: module.cuda()), warmup=1)
    size = step.step.generator.image_size
    for index in range(3):
        images = torch.rand(4, CHANNELS, size, size, device="cuda") * 2 - 1
        labels = torch.arange(4, device="cuda") % CLASSES
        with torch.autocast("cuda", torch.bfloat16):
            metrics = step(images, labels, index)
        assert all(value.isfinite() for value in metrics.values()), metrics
