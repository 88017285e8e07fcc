"""Penalties that show D the step's images again: one pass of each, and the same random numbers."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from helpers_penalties import update_of
from torch import Tensor

import zoo
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.training.step import AdversarialStep

SMALL = {"width": 16, "depth": 4, "heads": 2, "patch": 4}
IMAGES = torch.rand(8, 1, 8, 8) * 2 - 1


class Again(Regularizer):
    """Shows D the same images again, and keeps how far its scores are from the first."""

    repeats = ("real", "fake")

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[float] = []
        self.without: list[float] = []

    def forward(self, update: Update) -> Tensor | None:
        pairs = {"real": (update.real, update.real_output)}
        pairs["fake"] = (update.generated.images, update.fake_output)
        for side, (images, output) in pairs.items():
            assert output is not None
            with update.randoms[side]:
                scores = update.discriminate(images, update.labels).scores
            self.gaps.append((scores - output.scores).abs().max().item())
            other = update.discriminate(images, update.labels).scores
            self.without.append((other - output.scores).abs().max().item())
        return None


def step_of(*regularizers: Regularizer, **options: object) -> AdversarialStep:
    """GAT's D, which adds noise of its own, behind an augmentation."""
    torch.manual_seed(0)
    g = zoo.create("generator", "gat", image_size=8, channels=1, latent_dim=4, **SMALL)
    d = zoo.create("discriminator", "gat", image_size=8, channels=1, embedding=8, **SMALL)
    optimizers = (torch.optim.SGD(network.parameters(), lr=0.0) for network in (g, d))
    loss, augmentation = zoo.create("loss", "rpgan"), zoo.create("augmentation", "diffaugment")
    return AdversarialStep(
        g, d, loss, *optimizers, regularizers=regularizers, augmentations=[augmentation], **options
    )


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_repeated_pass_says_the_same_in_full_precision(accumulate, precision):
    again = Again()
    step = step_of(again, accumulate=accumulate)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        step(IMAGES, None, 0)
    assert len(again.gaps) == 2 * accumulate
    if precision is torch.float32:
        assert max(again.gaps) == 0
    else:  # the second pass is in bf16 here, the first is not
        assert 0 < max(again.gaps) < min(again.without)
    assert min(again.without) > 1e-4


@pytest.mark.parametrize(
    ("names", "rows"),
    [((), [16]), (["fd_r1"], [8, 8, 8]), (["fd_r1", "fd_r2"], [8, 8, 8, 8]),
     (["finite_difference"], [8, 8, 8, 8])],
)  # fmt: skip
def test_finite_differences_take_the_steps_own_scores(names, rows):
    step = step_of(*(zoo.create("regularizer", name) for name in names))
    seen: list[int] = []
    score = step.passes._score
    step.passes._score = lambda x, y: (seen.append(len(x)), score(x, y))[1]
    step.discriminator_update(IMAGES, None)
    assert seen == rows


@pytest.mark.parametrize("name", ["fd_r1", "fd_r2", "finite_difference"])
def test_the_steps_own_scores_give_what_two_passes_give(name):
    torch.manual_seed(0)
    d = zoo.create("discriminator", "mlp", image_size=8, channels=1, width=8).double()
    real, fake = torch.rand(2, 4, 1, 8, 8, dtype=torch.float64)
    regularizer = zoo.create("regularizer", name)
    values = []
    for randoms in ({}, {"real": nullcontext(), "fake": nullcontext()}):
        update = update_of(d, real, fake)
        update.randoms = randoms
        torch.manual_seed(1)  # of the directions
        values.append(regularizer(update))
    assert values[0] == values[1] > 0


def test_a_compiled_pass_is_not_repeated():
    g = zoo.create("generator", "mlp", image_size=8, channels=1, latent_dim=4, width=8)
    d = zoo.create("discriminator", "mlp", image_size=8, channels=1, width=8)
    optimizers = (torch.optim.SGD(network.parameters(), lr=0.0) for network in (g, d))
    penalty = zoo.create("regularizer", "fd_r1")
    options = {"compile": True, "compile_backend": "aot_eager"}
    step = AdversarialStep(
        g, d, zoo.create("loss", "bce"), *optimizers, regularizers=[penalty], **options
    )
    assert step(IMAGES, None, 0)["fd_r1"] > 0
