"""Traps of the step: latents from D's gradient, optimizers that hide stale graphs, compilation."""

from __future__ import annotations

import pytest
import torch
from adversarial import assert_same, batch, make_step, networks

import zoo.registry as registry
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.core.errors import ZooError

pytestmark = pytest.mark.usefixtures("float64")


class Watched(Regularizer):
    """Moves latents by D's gradient, and notes what it found."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen: list[bool] = []

    def setup(self, generator, discriminator):
        self._discriminator = (discriminator,)

    def latents(self, z, labels, score):
        weights = [*self._discriminator[0].parameters()]
        self.frozen.append(not any(p.requires_grad for p in weights))
        with torch.enable_grad():
            start = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(
                score(start, labels).scores.sum(), start, create_graph=torch.is_grad_enabled()
            )
        return z + slope


@pytest.mark.usefixtures("each_adam")
@pytest.mark.parametrize("name", ["logan", "watched"])
def test_latents_from_ds_gradient_are_drawn_anew_with_d_frozen(name):
    method = Watched() if name == "watched" else registry.create("regularizer", name)
    g, d = networks()
    with pytest.raises(ZooError, match=rf"reuse_fakes=True cannot be combined with {name}\."):
        make_step(g, d, "hinge", [method], reuse_fakes=True)
    step = make_step(g, d, "hinge", [method])
    assert not step.reuse_fakes
    for index in range(2):
        step(*batch(index), index)
    if name == "watched":
        assert method.frozen == [True] * 4  # in both updates of both steps
    assert all(p.requires_grad for p in d.parameters())
    # D has the gradient of its own update: none came through the latents of G's.
    before = [p.grad.clone() for p in d.parameters()]
    images, labels = batch(2)
    step.generator_update(images, labels, 2)
    for p, gradient in zip(d.parameters(), before, strict=True):
        assert torch.equal(p.grad, gradient)


@pytest.mark.parametrize("order", [["logan", "other"], ["other", "logan"]])
@pytest.mark.parametrize("other", ["mode_seeking", "path_length"])
def test_the_cost_of_moved_latents_is_that_of_the_updates_own_images(other, order):
    """Others have images made too, whose latents move as well; what these cost is not asked."""

    def cost(names, accumulate=1):
        options = {"path_length": {"shrink": 1}}  # batch norm needs two images
        chosen = [other if name == "other" else name for name in names]
        made = [registry.create("regularizer", n, **options.get(n, {})) for n in chosen]
        step = make_step(*networks(), "hinge", made, accumulate=accumulate)
        torch.manual_seed(1)
        values = step.generator_update(*batch(0), 0)  # its images are the first that are made
        assert len(values) == 1 + len(names)
        assert not step.regularizers["logan"]._steps  # of which no graph is kept
        return values["logan_g"]

    assert cost(order) == cost(["logan"]) > 0
    assert cost(order, accumulate=2) > 0


def test_two_regularizers_do_not_move_latents():
    movers = [registry.create("regularizer", "logan"), Watched()]
    with pytest.raises(ZooError, match="only one regularizer can move latents, and 2 do"):
        make_step(*networks(), "hinge", movers)


def test_fakes_are_reused_only_where_nothing_forbids_it():
    g, d = networks()
    assert make_step(g, d, "hinge").reuse_fakes
    assert not make_step(g, d, "hinge", d_steps=2).reuse_fakes
    for options in ({"accumulate": 2}, {"own_batch_for_g": True}):
        assert not make_step(g, d, "hinge", **options).reuse_fakes
        with pytest.raises(ZooError, match=f"cannot be combined with {next(iter(options))}"):
            make_step(g, d, "hinge", reuse_fakes=True, **options)


def test_plain_adam_would_tell_of_a_stale_graph(monkeypatch):
    """What the step's tests without fused Adam are for: the graph of weights that have changed."""
    monkeypatch.setattr("zoo.training.optimizers._FUSED_DEVICES", ())
    g, d = networks()
    step = make_step(g, d, "hinge")
    images, labels = batch(0)
    generated = step.passes.generate(len(images), labels)
    step.generator_update(images, labels, 0, generated)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation|second time"):
        step.generator_update(images, labels, 1, generated)


@pytest.mark.parametrize("name", ["logan", "gradient_normalization"])
def test_methods_of_second_order_train_compiled_as_eagerly(name):
    """What needs a double backward pass in every update stays eager, the rest is compiled."""
    steps = []
    for compiled in (False, True):
        method = registry.create("regularizer", name)
        options = {"compile": compiled, "compile_backend": "aot_eager"}
        steps.append(make_step(*networks(), "hinge", [method], **options))
    for index in range(2):
        values = []
        for step in steps:
            torch.manual_seed(index)
            values.append(step(*batch(index), index))
        torch.testing.assert_close(*values)
    assert_same(steps[0].generator, steps[1].generator)
    assert_same(steps[0].discriminator, steps[1].discriminator)
    assert f"not support the double backward pass that {name} needs" in steps[1].compile_note
    torch.compiler.reset()


@pytest.mark.parametrize("scores", [1, 4])
def test_a_slope_is_that_of_an_images_mean_score(scores):
    """R1, R2 and gradient penalties do not grow with the number of patches."""
    weight = torch.randn(12)

    def discriminate(images, labels, augmented=True):
        from zoo.contracts.outputs import DiscriminatorOutput

        score = images.flatten(1) @ weight
        many = score if scores == 1 else score[:, None] * torch.linspace(0, 2, scores)
        return DiscriminatorOutput(many, images.flatten(1), {})

    images = torch.randn(3, 3, 2, 2)
    update = Update(
        side="discriminator", generator=None, discriminator=None, real=images, labels=None,
        generated=None, real_output=None, fake_output=None, discriminate=discriminate,
        generate=None,
    )  # fmt: skip
    torch.testing.assert_close(update.gradient(images), weight.expand(3, 12))
    r1 = registry.create("regularizer", "r1", gamma=2.0)
    torch.testing.assert_close(r1(update), weight.square().sum())
