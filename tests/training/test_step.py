"""The step equals a plain training loop: same losses, same weights."""

from __future__ import annotations

import copy

import pytest
import torch
from adversarial import (
    CLASSES,
    PlainLoop,
    assert_same,
    batch,
    compare,
    make_step,
    networks,
)
from torch import nn

import zoo.registry as registry
from zoo.contracts.augmentation import Augmentation
from zoo.core.errors import ZooError

pytestmark = pytest.mark.usefixtures("float64", "each_adam")

LOSSES = ["bce", "minimax", "lsgan", "hinge", "wgan", "wgan_gp", "rpgan"]
OWN_PENALTIES = {"wgan_gp": ("gradient_penalty",)}


@pytest.mark.parametrize("d_steps", [1, 2])
@pytest.mark.parametrize("d_norm", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_equals_the_plain_loop(loss, d_norm, d_steps):
    if loss == "wgan_gp" and d_norm:
        with pytest.raises(ZooError, match=r"gradient_penalty.*batch norm"):
            make_step(*networks(d_norm), loss)
        return
    g, d = networks(d_norm)
    clip = 0.01 if loss == "wgan" else None
    loop = PlainLoop(
        copy.deepcopy(g),
        copy.deepcopy(d),
        loss,
        OWN_PENALTIES.get(loss, ()),
        d_steps=d_steps,
        reuse=d_steps == 1,
        clip=clip,
    )
    step = make_step(g, d, loss, d_steps=d_steps)
    compare(step, loop)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize(
    "penalties", [("r1",), ("r2",), ("r1", "r2"), ("dragan",), ("gradient_penalty",)]
)
def test_every_penalty_equals_the_plain_loop(penalties, every):
    g, d = networks()
    loop = PlainLoop(
        copy.deepcopy(g), copy.deepcopy(d), "rpgan", penalties, every, d_steps=3, reuse=False
    )
    regularizers = [registry.create("regularizer", name, every=every) for name in penalties]
    compare(make_step(g, d, "rpgan", regularizers, d_steps=3), loop)


@pytest.mark.parametrize(("reuse", "conditional"), [(True, True), (True, False), (False, True)])
def test_reused_and_new_fakes_with_and_without_labels(reuse, conditional):
    g, d = networks()
    loop = PlainLoop(copy.deepcopy(g), copy.deepcopy(d), "bce", ("r1",), d_steps=2, reuse=reuse)
    r1 = registry.create("regularizer", "r1")
    compare(
        make_step(g, d, "bce", [r1], d_steps=2, reuse_fakes=reuse), loop, conditional=conditional
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_compiled_equals_eager(loss):
    r1 = [registry.create("regularizer", "r1", every=2)]
    steps = [
        make_step(*networks(), loss, r1, compile=c, compile_backend="aot_eager", d_steps=2)
        for c in (False, True)
    ]
    for index in range(3):
        images, labels = batch(index, 2)
        values = []
        for step in steps:
            torch.manual_seed(index)
            values.append(step(images, labels, index))
        torch.testing.assert_close(*values)
    assert_same(steps[0].generator, steps[1].generator)
    assert_same(steps[0].discriminator, steps[1].discriminator)
    assert "r1" in steps[1].compile_note
    assert steps[0].compile_note == ""
    torch.compiler.reset()


def test_a_compiled_step_leaves_the_pass_of_g_to_a_penalty_on_its_slope():
    sizes = {"image_size": 8, "channels": 2, "num_classes": CLASSES, "latent_dim": 8}
    values = []
    for compile in (False, True):
        torch.manual_seed(0)
        g = registry.create("generator", "stylegan2", base=64, max_channels=8, style_dim=8, **sizes)
        penalty = [registry.create("regularizer", "path_length")]
        step = make_step(
            g, networks()[1], "bce", penalty, compile=compile, compile_backend="aot_eager"
        )
        torch.manual_seed(1)
        values.append(step(*batch(0), 0))
    assert "path_length" in values[0]
    torch.testing.assert_close(*values)
    assert "path_length" in step.compile_note
    torch.compiler.reset()


def test_double_precision_stays_double():
    g, d = (network.double() for network in networks())
    penalties = [registry.create("regularizer", n) for n in ("r1", "r2", "gradient_penalty")]
    step = make_step(g, d, "hinge", penalties)
    images, labels = batch(0)
    torch.set_default_dtype(torch.float64)
    try:
        values = step(images.double(), labels, 0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {value.dtype for value in values.values()} == {torch.float64}


class Scale(Augmentation):
    """Twice the image: a pass that skips it shows."""

    def forward(self, images):
        return 2 * images


def test_augmentation_acts_in_both_updates_and_in_penalties():
    g, d = networks()
    plain_d = copy.deepcopy(d)
    loop = PlainLoop(copy.deepcopy(g), plain_d, "rpgan", ("r1", "gradient_penalty"))
    loop.d = Scaled(plain_d)
    regularizers = [registry.create("regularizer", n) for n in ("r1", "gradient_penalty")]
    step = make_step(g, d, "rpgan", regularizers, augmentations=[Scale()])
    for index in range(2):
        images, labels = batch(index)
        torch.manual_seed(index)
        got = step(images, labels, index)
        torch.manual_seed(index)
        want = loop.step(images, labels)
        torch.testing.assert_close(got["loss_d"], want["loss_d"])
        torch.testing.assert_close(got["loss_g"], want["loss_g"])
    assert_same(d, plain_d)


class Scaled(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.d = d

    def forward(self, x, y=None):
        return self.d(2 * x, y)
