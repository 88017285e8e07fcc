"""An update on parts of a batch is the update on the whole batch."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from adversarial import BATCH, CLASSES, LATENT, make_step, networks
from helpers_contracts import build, live
from helpers_penalties import Quadratic, Stretch, X, update_of

import zoo.registry as registry
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.torch_internals import BatchNorm
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


@pytest.mark.parametrize("name", registry.list_parts("generator"))
@pytest.mark.parametrize("classes", [0, 3])
def test_running_values_move_once_an_update_whatever_its_pieces(name, classes):
    """Mean styles, magnitudes, singular vectors; batch norm is of a piece, as everywhere."""
    part = ("generator", name)
    if classes == 0 and live(part).requires_labels:
        return
    torch.manual_seed(0)
    generator = build(part, classes)
    shape = {"image_size": generator.image_size, "channels": generator.channels}
    d = registry.create("discriminator", "mlp", **shape, num_classes=classes)
    piece = 2 * max(classes, 1)
    latents = torch.randn(piece, generator.latent_dim)
    images = torch.zeros(4 * piece, generator.channels, generator.height, generator.width)
    labels = torch.arange(4 * piece) % classes if classes else None
    moved = []
    for accumulate in (1, 2, 4):
        g, other = copy.deepcopy((generator, d))
        g.sample_latent = lambda n, random=None: latents.repeat(n // piece, 1)
        step = make_step(g, other, "bce", accumulate=accumulate, reuse_fakes=False)
        step(images, labels, 0)
        norms = tuple(n for n, m in g.named_modules() if isinstance(m, BatchNorm))
        pairs = zip(g.named_buffers(), generator.buffers(), strict=True)
        moved.append({n: end - start for (n, end), start in pairs if not n.startswith(norms)})
    for other in moved[1:]:  # a magnitude sees what the moved ones before it let through
        torch.testing.assert_close(other, moved[0], rtol=0.01, atol=1e-9)


def pieces_of(real: float, fake: float, count: int) -> list[Update]:
    """An update of 8 images of equal scores, in so many pieces."""
    n = 8 // count
    images, nothing = torch.zeros(n, 1, 2, 2), torch.zeros(n, 1)
    said = [DiscriminatorOutput(torch.full((n,), v), nothing, {}) for v in (real, fake)]
    given: Any = dict.fromkeys(("generator", "discriminator", "discriminate", "generate"))
    return [
        Update(
            side="discriminator", real=images, labels=None, real_output=said[0],
            generated=GeneratorOutput(images, nothing, nothing, None), fake_output=said[1],
            piece=i, pieces=count, **given,
        )
        for i in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize("every", [1, 4])
def test_lecam_counts_updates_whatever_their_pieces(debias, every):
    kept = []
    for count in (1, 2, 4):
        lecam = registry.create(
            "regularizer", "lecam", start=2 * every, decay=0.9, debias=debias, every=every
        )
        penalties = []
        for real, fake in ((3.0, -1.0), (2.0, 1.0), (-1.0, 0.5), (4.0, 2.0)):
            *_, last = [lecam(update) for update in pieces_of(real, fake, count)]
            penalties.append(last)
        kept.append((lecam.average_real, lecam.average_fake, *penalties))
        assert lecam.count == 4 * every
        assert [p.item() > 0 for p in penalties] == [False, False, True, True]
    for other in kept[1:]:
        torch.testing.assert_close(other, kept[0])


def test_top_k_counts_updates_whatever_their_pieces():
    for count in (1, 4):
        top_k = registry.create("regularizer", "top_k", decay=0.5, share=0.5, period=2)
        shares = []
        for _ in range(4):
            shares += [u for p in pieces_of(1.0, 0.0, count) for u in [top_k.weights(p)]]
        kept = [(weights > 0).double().mean().item() for weights in shares]
        assert kept == [1.0] * (2 * count) + [0.5] * (2 * count)
        assert top_k.count == 4


def test_adaptive_augmentation_counts_updates_whatever_their_pieces():
    """It moves after `interval` of them, by all of their images."""
    for count in (1, 2, 4):
        ada = registry.create("augmentation", "ada", p=0.25, target=0.6, interval=2, speed=160)
        probabilities = []
        for score in (1.0, 1.0, -1.0, 1.0):  # r = 1, then 0
            for update in pieces_of(score, 0.0, count):
                ada.observe(update)
            probabilities.append(ada.p.item())
        assert probabilities == pytest.approx([0.25, 0.35, 0.35, 0.25])
        assert ada.count == 4


def test_a_path_length_moves_by_updates_whatever_their_pieces():
    (whole,) = pieces_of(0.0, 0.0, 1)
    lengths = torch.tensor([[3.0, 4.0], [3.0, 4.0]])
    path_length = registry.create("regularizer", "path_length", decay=0.3)
    path_length.penalty(lengths, whole.share_of_piece(0.3))
    average = path_length.average.clone()
    assert average.item() == pytest.approx(0.3 * 5)
    path_length.average.zero_()
    for update in pieces_of(0.0, 0.0, 4):
        path_length.penalty(lengths, update.share_of_piece(0.3))
    torch.testing.assert_close(path_length.average, average)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_hooks_are_told_of_the_pieces(accumulate):
    g, d = networks(g_norm=False)
    told = []
    lecam = registry.create("regularizer", "lecam")
    lecam.register_forward_pre_hook(lambda _, given: told.append((given[0].piece, given[0].pieces)))
    step = make_step(g, d, "hinge", [lecam], accumulate=accumulate, reuse_fakes=False)
    step(torch.zeros(BATCH, 2, 8, 8), torch.zeros(BATCH, dtype=torch.int64), 0)
    assert told == [(i, accumulate) for i in range(accumulate)]
    assert lecam.count == 1


@pytest.mark.parametrize("pieces", [2, 4])
def test_optimal_transport_scales_gradients_whatever_their_pieces(pieces):
    """Of what reaches G, whose images are the same in each piece."""

    def found(pieces: int) -> list[torch.Tensor]:
        part = OptimalTransport()
        generator, gradients = Stretch(3.0), []
        for factor in (1.0, 4.0):
            for _ in range(pieces):
                images = generator(X)
                update = update_of(
                    Quadratic(factor), fake=images, z=X, side="generator", pieces=pieces
                )
                total = update.fake_output.scores.mean() + part(update)
                (total / pieces).backward()
            gradients.append(generator.scale.grad.clone())
        # The second's first piece is not scaled as its last is.
        return [gradients[0], *part.buffers()]

    torch.testing.assert_close(found(pieces), found(1))
