"""Tests of the loss ralsgan; `pytest --plugin ralsgan` adds the contract tests."""

from __future__ import annotations

import pytest
import torch

import zoo


def test_values_match_hand_computation():
    loss = zoo.create("loss", "ralsgan")
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 0.0])  # means 1 and -1/2
    # (2.5 - 1)^2 + (-2 + 1)^2 and (0.5 - 1)^2 + (-1 + 1)^2
    assert loss.discriminator(real, fake).tolist() == [3.25, 0.25]
    # (-2 - 1)^2 + (2.5 + 1)^2 and (-1 - 1)^2 + (0.5 + 1)^2
    assert loss.generator(fake, real).tolist() == [21.25, 6.25]


def test_d_is_optimal_when_scores_differ_by_the_margin():
    loss = zoo.create("loss", "ralsgan", margin=3.0)
    real, fake = torch.full((4,), 5.0), torch.full((4,), 2.0)
    assert loss.discriminator(real, fake).tolist() == [0.0] * 4
    assert loss.generator(real, fake).tolist() == [0.0] * 4


def test_only_score_differences_matter():
    loss = zoo.create("loss", "ralsgan")
    torch.manual_seed(0)
    real, fake = torch.randn(2, 8)
    torch.testing.assert_close(
        loss.discriminator(real + 7, fake + 7), loss.discriminator(real, fake)
    )


def test_bad_input_raises():
    with pytest.raises(zoo.ZooError, match="margin=0"):
        zoo.create("loss", "ralsgan", margin=0.0)
    with pytest.raises(zoo.ZooError, match="real images"):
        zoo.create("loss", "ralsgan").generator(torch.zeros(2))
