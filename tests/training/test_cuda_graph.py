"""The captured step: on CPU with a tape in place of CUDA graphs, on CUDA as it is."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from adversarial import assert_same, batch, make_step, networks
from tape import Recorder

import zoo.registry as registry
from zoo.contracts.regularizer import Regularizer
from zoo.training.cuda_graph import GraphedStep, obstacle
from zoo.training.ema import EMA


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

    assert graphed.captured == 0


class Reads(Regularizer):
    """A part that a graph cannot hold: it reads a tensor on the host."""

    def forward(self, update):
        return update.fake_output.scores.mean() * (
            0.1 if update.fake_output.scores.mean().item() > 0 else 0.2
        )


def test_a_capture_that_fails_is_said_once_and_training_goes_on():
    told: list[str] = []
    step = make_step(*networks(), "hinge", [Reads()])
    failing = GraphedStep(step, warmup=1, capture=Recorder(), say=told.append)
    for index in range(4):
        assert all(value.isfinite() for value in failing(*batch(index), index).values())
    assert told == [failing.note]
    assert "runs eagerly: operation not permitted" in failing.note
    assert failing.captured == 0


class Counts(Regularizer):
    """A part whose penalty grows by a number of Python, which a replay does not run again."""

    claims_cuda_graph = False
    calls = 0

    def forward(self, update):
        self.calls += 1
        return 0.01 * self.calls * update.fake_output.scores.square().mean()


def test_a_part_that_claims_no_graph_is_named_and_the_tape_would_catch_it():
    step = make_step(*networks(), "hinge", [Counts()])
    assert obstacle(step) == "no CUDA graph: Counts is not declared to work in one."
    foreign = make_step(*networks(), "hinge", augmentations=[torch.nn.Identity()])
    assert obstacle(foreign) == "no CUDA graph: Identity is not declared to work in one."
    graphed = GraphedStep(step, warmup=1, capture=Recorder())
    eager = make_step(*networks(), "hinge", [Counts()])
    for index in range(4):
        values = []
        for call in (eager, graphed):
            torch.manual_seed(index)
            values.append(call(*batch(index), index)["counts"])
        assert torch.equal(*values) == (index < 2)  # the first replay has just been recorded


def test_gradients_after_a_replay_are_those_of_its_step():
    """Diagnoses look at them; with a lazy penalty two graphs have gradients of their own."""
    made = []
    for graphed in (False, True):
        g, d = networks(d_norm=False)
        step = make_step(g, d, "hinge", [registry.create("regularizer", "r1", every=2)])
        made.append((step, GraphedStep(step, warmup=1, capture=Recorder()) if graphed else step))
    for index in range(8):
        images, labels = batch(index)
        for _, call in made:
            torch.manual_seed(index)
            call(images, labels, index)
        (eager, _), (step, _) = made
        for kind in ("generator", "discriminator"):
            pairs = zip(
                getattr(eager, kind).parameters(), getattr(step, kind).parameters(), strict=True
            )
            for p, q in pairs:
                torch.testing.assert_close(q.grad, p.grad)


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def graphed_pair(card: str) -> list[tuple[Any, Any]]:
    """An eager step of a card and a captured one, each with what is called.

    With a lazy penalty, LeCam, DiffAugment, two updates of D and an average.
    """
    from benchmarks.cards import CARDS

    made = []
    for graphed in (False, True):
        torch.manual_seed(0)
        g, d = (m.cuda() for m in (networks() if card == "tiny" else CARDS[card].zoo()))
        regularizers = [registry.create("regularizer", "lecam", start=2).cuda()]
        if not d.has_batch_statistics:
            regularizers.append(registry.create("regularizer", "r1", every=4))
        step = make_step(
            g,
            d,
            "hinge" if card == "tiny" else CARDS[card].loss,
            regularizers,
            augmentations=[registry.create("augmentation", "diffaugment")],
            ema=EMA(g, half_life=50),
            d_steps=2,
            # Exact in float32, as a captured step holds it: the networks would amplify 5e-8.
            lr=2**-10,
        )
        made.append((step, GraphedStep(step) if graphed else step))
    return made


def steps_of(card: str, made: list[tuple[Any, Any]], bf16: bool) -> list[list[dict[str, Any]]]:
    """What each of `made` says of twelve steps."""
    from benchmarks.cards import CARDS

    said = []
    for index in range(12):
        images, labels = batch(index, d_steps=2)
        if card != "tiny":
            images, labels = CARDS[card].images(8, torch.device("cuda")), None
        values = []
        for _, call in made:
            torch.manual_seed(index)
            with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
                values.append(call(images.cuda(), None if labels is None else labels.cuda(), index))
        said.append(values)
    (_, _), (step, graphed) = made
    assert graphed.note == ""
    assert graphed.captured == (1 if step.discriminator.has_batch_statistics else 2)
    return said


@needs_cuda
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("card", ["tiny", "dcgan_32", "sngan_32", "wgan_gp_32"])
def test_captured_equals_eager_on_cuda(card):
    """In float64: what TF32 and the order of sums make of a GAN says nothing of the graph.

    The captured step's values come as float32.
    """
    made = graphed_pair(card)
    for values in steps_of(card, made, bf16=False):
        torch.testing.assert_close(*values, rtol=1e-6, atol=1e-6, check_dtype=False)
    (eager, _), (step, _) = made
    for kind in ("generator", "discriminator"):
        assert_same(getattr(eager, kind), getattr(step, kind), rtol=1e-6, atol=1e-8)
    assert_same(eager.ema.module, step.ema.module, rtol=1e-6, atol=1e-8)


@needs_cuda
@pytest.mark.parametrize("card", ["tiny", "dcgan_32", "sngan_32", "wgan_gp_32"])
def test_captured_steps_in_bf16_are_finite_on_cuda(card):
    for values in steps_of(card, graphed_pair(card), bf16=True):
        assert all(v.isfinite() for said in values for v in said.values())


@needs_cuda
def test_a_capture_that_fails_on_cuda_is_said_with_its_first_reason():
    told: list[str] = []
    step = make_step(*(network.cuda() for network in networks()), "hinge", [Reads()])
    failing = GraphedStep(step, say=told.append)
    for index in range(6):
        images, labels = (t.cuda() for t in batch(index))
        assert all(value.isfinite() for value in failing(images, labels, index).values())
    assert told == [failing.note]
    assert "captur" in failing.note.partition(": ")[2]
    assert torch.rand(3, device="cuda").unique().numel() == 3
    again = GraphedStep(make_step(*(network.cuda() for network in networks()), "hinge"))
    for index in range(6):
        again(*(t.cuda() for t in batch(index)), index)
    assert again.captured == 1


@needs_cuda
def test_a_training_with_graphs_is_saved_and_resumed(tmp_path):
    """Under Lightning, with a decaying learning rate, a smaller last batch and clipping."""
    import pytorch_lightning as pl

    import zoo

    def gan():
        torch.manual_seed(0)
        shape = {"image_size": 28, "channels": 1}
        return zoo.GAN(
            zoo.create("generator", "mlp", **shape, latent_dim=8),
            zoo.create("discriminator", "mlp", **shape),
            zoo.create("loss", "hinge"),
            lr_decay="linear",
            clip_grad_norm=1.0,
            cuda_graph=True,
        )

    images = torch.rand(100, 1, 28, 28) * 2 - 1
    loader = torch.utils.data.DataLoader(images, 16)
    for epochs, start in ((2, None), (4, str(tmp_path / "a.ckpt"))):
        trainer = pl.Trainer(
            max_epochs=epochs,
            accelerator="gpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            default_root_dir=str(tmp_path),
        )
        model = gan()
        trainer.fit(model, loader, ckpt_path=start)
        trainer.save_checkpoint(str(tmp_path / "a.ckpt"))
        assert model._step.captured == 1
    assert model.images_seen == 400


@needs_cuda
@pytest.mark.parametrize("part", ["step", "d", "g"])
def test_the_benchmarks_capture_either_update_too(part):
    from benchmarks.cards import CARDS, zoo

    update = zoo(CARDS["dcgan_32"], 8, torch.device("cuda"), graph=True)[part]
    for _ in range(6):
        update()
    torch.cuda.synchronize()
