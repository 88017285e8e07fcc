"""An update on parts of a batch is the update on the whole batch."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from adversarial import BATCH, CLASSES, LATENT, make_step, networks

import zoo.registry as registry

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
