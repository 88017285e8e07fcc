"""The Adam whose betas lie on the device is torch's, and a captured step reads them anew."""

from __future__ import annotations

import pytest
import torch
from adversarial import assert_same, batch, make_step, networks
from fake_device import FakeDevice
from part_steps import run_by_shapes, tiny_step
from tape import Recorder

import zoo.registry as registry
from zoo.training.cuda_graph import GraphedStep
from zoo.training.device_adam import DeviceAdam
from zoo.training.optimizers import OPTIMIZERS, OptimisticAdam, maker
from zoo.training.schedules import Schedules

BETAS = (0.5, 0.9)


@pytest.mark.parametrize("decoupled", [False, True], ids=["adam", "adamw"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_torchs_with_betas_that_change(decoupled, decay):
    """Also where a weight has no gradient for a while, and so another count of steps."""
    torch.manual_seed(0)
    shapes = ((3, 2), (4,), ())
    ours = [torch.nn.Parameter(torch.randn(s, dtype=torch.float64)) for s in shapes]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    plain = kind(theirs, lr=0.1, betas=BETAS, weight_decay=decay, foreach=False)
    device = DeviceAdam(ours, 0.1, BETAS, weight_decay=decay, decoupled=decoupled)
    for index in range(6):
        for optimizer in (plain, device):
            (group,) = optimizer.param_groups
            group["betas"] = (0.1 * index, 0.9 + 0.015 * index)
            group["lr"] = 0.1 / (index + 1)
        device.hold_betas()
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            frozen = i == 1 and index in (0, 3)
            p.grad = None if frozen else torch.randn_like(p)
            q.grad = None if frozen else p.grad.clone()
        plain.step()
        device.step()
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-10, atol=1e-12)


def test_its_state_is_that_of_torchs_adam():
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    device = DeviceAdam([weight], 0.1, BETAS)
    device.step()
    plain = torch.optim.Adam([weight], lr=0.5, betas=(0.0, 0.1))
    plain.load_state_dict(device.state_dict())
    assert plain.param_groups[0]["betas"] == BETAS
    plain.step()
    device.load_state_dict(plain.state_dict())
    device.hold_betas()
    device.step()
    assert device.state[weight]["step"].item() == 3


def scheduled_step(device="cpu"):
    g, d = (network.to(device) for network in networks())
    step = make_step(g, d, "hinge")
    step.optimizer_g, step.optimizer_d = (
        DeviceAdam(network.parameters(), 1e-3, BETAS, eps=1e-4) for network in (g, d)
    )
    options = {"beta1": (0.0, 0.6), "beta2": (0.9, 0.99)}
    schedules = {
        name: registry.create("schedule", "linear", start=a, end=b, images=20)
        for name, (a, b) in options.items()
    }
    step.schedules = Schedules(schedules, (step.optimizer_g, step.optimizer_d))
    return step


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_captured_step_reads_betas_that_change_in_every_step(device):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    eager, step = scheduled_step(device), scheduled_step(device)
    assert step.schedules.obstacle == ""
    captured = GraphedStep(step, warmup=1, capture=Recorder() if device == "cpu" else None)
    for index in range(6):
        images, labels = (t.to(device) for t in batch(index))
        for call in (eager, captured):
            torch.manual_seed(index)
            call(images, labels, index, index * len(images))
    assert captured.captured == 1
    assert_same(eager.generator, step.generator)
    assert_same(eager.discriminator, step.discriminator)
    assert step.optimizer_g.param_groups[0]["betas"] == (0.6, 0.99)


def test_its_step_stays_on_its_device():
    device = FakeDevice()
    step = tiny_step(registry.create("loss", "bce"), place=device.place)
    with device.computing():
        step.optimizer_g, step.optimizer_d = (
            DeviceAdam(network.parameters(), 1e-3, BETAS)
            for network in (step.generator, step.discriminator)
        )
    run_by_shapes(step, device, copies=False)


def test_it_is_taken_on_a_gpu_alone_and_for_betas_that_change():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    for name, make in OPTIMIZERS.items():
        assert maker(name, cpu, True) is make
        assert maker(name, cuda, False) is make
    weights = [torch.nn.Parameter(torch.ones(2))]
    for name in ("adam", "adamw"):
        made = maker(name, cuda, True)(weights, 1e-3, BETAS, 1e-8, 0.1)
        assert isinstance(made, DeviceAdam)
        assert made.param_groups[0]["decoupled_weight_decay"] == (name == "adamw")
    assert maker("optimistic_adam", cuda, True) is OptimisticAdam
