"""An update on parts of a batch is the update on the whole batch."""

from __future__ import annotations

import copy
import functools
import itertools

import pytest
import torch
from adversarial import BATCH, CLASSES, LATENT, make_step, networks
from helpers_penalties import Quadratic, Stretch, X, said, update_of

import zoo.registry as registry
from zoo.parts.regularizers.optimal_transport import OptimalTransport

pytestmark = pytest.mark.usefixtures("float64")


def latents_in_turn(generator, size: int) -> None:
    """Latents of a fixed list, however many are drawn at a time."""
    drawn = iter(torch.randn(size, LATENT, generator=torch.Generator().manual_seed(1)))
    generator.sample_latent = lambda n, random=None: torch.stack([*itertools.islice(drawn, n)])


@pytest.mark.parametrize("penalty", [None, "r1"])
@pytest.mark.parametrize(("d_steps", "own"), [(1, False), (1, True), (2, True)])
def test_parts_add_up_to_the_batch(d_steps, own, penalty):
    """Also where G is updated beside real images of its own, and D several times."""
    batches = d_steps + own
    shape = batches * BATCH, 2, 8, 8
    random = torch.Generator().manual_seed(0)
    images = torch.rand(shape, generator=random) * 2 - 1
    labels = torch.randint(CLASSES, shape[:1], generator=random)
    start = networks(g_norm=False)  # batch norm looks at a part
    weights = []
    for accumulate in (1, 2, 4):
        g, d = copy.deepcopy(start)
        latents_in_turn(g, 3 * (d_steps + 1) * BATCH)
        penalties = [registry.create("regularizer", penalty)] if penalty else []
        step = make_step(
            g, d, "bce", penalties, d_steps=d_steps, own_batch_for_g=own,
            accumulate=accumulate, reuse_fakes=False,
        )  # fmt: skip
        losses = [step(images, labels, index) for index in range(3)]
        parameters = [p.detach() for p in (*g.parameters(), *d.parameters())]
        weights.append((parameters, [row["loss_g"] for row in losses]))
    for parameters, losses in weights[1:]:
        torch.testing.assert_close(parameters, weights[0][0], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(losses, weights[0][1], rtol=1e-9, atol=1e-10)


def test_spectral_norms_iterate_once_for_all_parts():
    """And batches of G and D have as many parts."""
    torch.manual_seed(0)
    shape = {"image_size": 8, "channels": 2}
    d = registry.create("discriminator", "sn_cnn", **shape, base_channels=4)
    g = registry.create("generator", "mlp", **shape, latent_dim=LATENT)
    images = torch.rand(2 * BATCH, 2, 8, 8) * 2 - 1
    iterated = []
    for accumulate in (1, 2):
        trained, other = copy.deepcopy(d), copy.deepcopy(g)
        step = make_step(other, trained, "hinge", own_batch_for_g=True, accumulate=accumulate)
        before = {name: v.clone() for name, v in trained.named_buffers()}
        step.discriminator_update(images[:BATCH], None)
        moved = {n: v for n, v in trained.named_buffers() if not torch.equal(v, before[n])}
        assert moved
        iterated.append(moved)
    torch.testing.assert_close(iterated[0], iterated[1], rtol=1e-9, atol=1e-12)


def lecam(parts: int, debias: bool = False) -> list[torch.Tensor]:
    part = registry.create("regularizer", "lecam", start=2, decay=0.5, every=2, debias=debias)
    scores = said(torch.full((4,), 3.0)), said(torch.full((4,), -2.0))
    values = []
    for _ in range(3):
        update = update_of(real_output=scores[0], fake_output=scores[1], parts=parts)
        values.append([part(update) for _ in range(parts)][-1])
    return [*values, *part.buffers()]


def path_length(parts: int) -> list[torch.Tensor]:
    part = registry.create("regularizer", "path_length", decay=0.5)
    for _ in range(3 * parts):
        part.penalty(torch.full((4, 3), 2.0), parts)
    return [*part.buffers()]


def ada(parts: int) -> list[torch.Tensor]:
    """Sure of the reals, so that p rises with the images, after every second update."""
    part = registry.create("augmentation", "ada", interval=2, speed=100)
    seen = []
    for _ in range(5):
        for _ in range(parts):
            real = torch.zeros(8 // parts, 1, 1, 1)
            sure = said(torch.ones(len(real)))
            part.observe(update_of(real=real, real_output=sure, fake_output=sure, parts=parts))
        seen.append(part.p.clone())
    assert seen[-1] == pytest.approx(0.32)
    return seen


def optimal_transport(parts: int) -> list[torch.Tensor]:
    """The gradient that reaches G, whose images are the same in each part."""
    part = OptimalTransport()
    generator, gradients = Stretch(3.0), []
    for factor in (1.0, 4.0):
        for _ in range(parts):
            images = generator(X)
            update = update_of(Quadratic(factor), fake=images, z=X, side="generator", parts=parts)
            total = update.fake_output.scores.mean() + part(update)
            (total / parts).backward()
        gradients.append(generator.scale.grad.clone())
    return [gradients[0], *part.buffers()]  # the second's first part is not scaled as its last is


@pytest.mark.parametrize(
    "found", [lecam, functools.partial(lecam, debias=True), path_length, ada, optimal_transport]
)
def test_what_moves_once_an_update_does_so_in_parts_too(found):
    for parts in (2, 4):
        torch.testing.assert_close(found(parts), found(1))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_top_k_counts_updates(accumulate):
    top_k = registry.create("regularizer", "top_k")
    step = make_step(*networks(), "bce", [top_k], accumulate=accumulate)
    for index in range(3):
        step(torch.zeros(BATCH, 2, 8, 8), torch.zeros(BATCH, dtype=torch.int64), index)
    assert top_k.count == 3
