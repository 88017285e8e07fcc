"""The captured step: on CPU with a recorder in place of CUDA, on CUDA as it is."""

from __future__ import annotations

import copy

import pytest
import torch
from adversarial import assert_same, batch, make_step, networks

import zoo.registry as registry
from zoo.cuda_graph import GraphedStep
from zoo.ema import EMA


class Recorder:
    """Stands in for CUDA: a capture computes nothing, each replay runs what was captured."""

    def __init__(self):
        self.captures = self.replays = 0

    def __call__(self, function):
        self.captures += 1

        def replay():
            self.replays += 1
            return function()

        return replay


def test_graphed_step_equals_eager_over_schedules():
    recorder = Recorder()
    made = []
    for graphed in (False, True):
        g, d = networks(d_norm=False)
        regularizers = [registry.create("regularizer", "r1", every=2)]
        regularizers.append(registry.create("regularizer", "lecam", start=2))
        step = make_step(g, d, "hinge", regularizers, ema=EMA(g, half_life=50))
        made.append((step, GraphedStep(step, warmup=2, capture=recorder) if graphed else step))
    for index in range(9):
        images, labels = batch(index)
        values = []
        for _, call in made:
            torch.manual_seed(index)
            values.append(call(images, labels, index))
        torch.testing.assert_close(*values)
    (eager, _), (step, graphed) = made
    assert graphed.note == ""
    assert graphed.captured == recorder.captures == 2  # with and without R1
    assert recorder.replays == 5  # two warm-up steps of each schedule
    for a, b in [
        (eager.generator, step.generator),
        (eager.discriminator, step.discriminator),
        (eager.ema.module, step.ema.module),
    ]:
        assert_same(a, b)


def test_graphed_step_reads_new_learning_rates_and_other_shapes_run_eagerly():
    recorder = Recorder()
    g, d = networks()
    graphed = GraphedStep(make_step(g, d, "hinge"), warmup=1, capture=recorder)
    for index in range(3):
        graphed(*batch(index), index)
    assert recorder.replays == 2
    for optimizer in (graphed.step.optimizer_g, graphed.step.optimizer_d):
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 0.0)
        assert schedule.get_last_lr() == [0]
    before = copy.deepcopy(g)
    graphed(*batch(3), 3)
    for p, q in zip(g.parameters(), before.parameters(), strict=True):
        assert torch.equal(p, q)
    images, labels = batch(4)
    graphed(images[:3], labels[:3], 4)
    assert recorder.replays == 3


def test_graphed_step_says_why_it_runs_eagerly():
    graphed = GraphedStep(make_step(*networks(), "hinge"))
    assert "need a CUDA device" in graphed.note
    assert "loss_g" in graphed(*batch(0), 0)

    def fails(function):
        raise RuntimeError("operation not permitted when stream is capturing")

    failing = GraphedStep(make_step(*networks(), "hinge"), warmup=0, capture=fails)
    values = failing(*batch(0), 0)
    assert values["loss_g"].isfinite()
    assert "not permitted" in failing.note


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_captured_equals_eager_on_cuda():
    made = []
    for graphed in (False, True):
        g, d = (m.cuda() for m in networks())
        r1 = registry.create("regularizer", "r1", every=2)
        step = make_step(g, d, "hinge", [r1], ema=EMA(g, half_life=50))
        made.append(GraphedStep(step) if graphed else step)
    for index in range(12):
        images, labels = (t.cuda() for t in batch(index))
        values = []
        for call in made:
            torch.manual_seed(index)
            values.append(call(images, labels, index))
        torch.testing.assert_close(*values, rtol=1e-3, atol=1e-4)
    assert made[1].note == ""
    assert made[1].captured == 2
    assert_same(made[0].generator, made[1].step.generator, rtol=1e-3, atol=1e-4)
