"""Weights of a truncated normal: its moments and bounds, and the same ones whatever the torch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import zoo
from zoo.layers.truncated_normal import truncated_normal_


def mass(x: float) -> float:
    """Of a standard normal below x."""
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


@pytest.mark.parametrize("cut", [1.0, 2.0])
def test_moments_and_bounds_are_those_of_the_distribution(cut):
    torch.manual_seed(0)
    n, deviation = 400_000, 0.02
    drawn = truncated_normal_(torch.empty(n), deviation, cut).double() / deviation
    assert drawn.abs().max() <= cut * (1 + 1e-6)
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    inside = 2 * mass(cut) - 1
    variance = 1 - 2 * cut * density / inside
    fourth = 3 - 2 * (cut**3 + 3 * cut) * density / inside
    assert abs(drawn.mean().item()) < 5 * math.sqrt(variance / n)
    assert abs(drawn.var().item() - variance) < 5 * math.sqrt((fourth - variance**2) / n)
    for x in (-0.9 * cut, -0.3, 0.0, 0.5 * cut):
        share = (mass(x) - mass(-cut)) / inside
        spread = 5 * math.sqrt(share * (1 - share) / n)
        assert abs((drawn <= x).double().mean().item() - share) < spread


def test_a_seed_gives_the_quantiles_of_torchs_normal_numbers():
    torch.manual_seed(3)
    normal = torch.randn(64, 3, 5, 5).double()
    expected = torch.special.ndtri(mass(-2) + torch.special.ndtr(normal) * (mass(2) - mass(-2)))
    torch.manual_seed(3)
    weight = torch.nn.Parameter(torch.empty(64, 3, 5, 5))
    assert truncated_normal_(weight, 0.02) is weight
    torch.testing.assert_close(weight.detach().double(), 0.02 * expected, rtol=1e-5, atol=1e-9)


def test_torchs_own_draw_is_used_nowhere():
    """It is another algorithm in other versions of torch, so that stored losses would differ."""
    files = [*Path(zoo.__file__).parent.rglob("*.py")]
    assert files
    assert not [f for f in files if "nn.init.trunc_normal_" in f.read_text("utf-8")]
