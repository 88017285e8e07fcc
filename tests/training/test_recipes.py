"""Proof of value: every recipe trains, and its first losses are those stored in recipes.json.

Made small and in float64, so that they tell of formulas and defaults and not of the processor.
"""

from __future__ import annotations

import json

import pytest
import recipes


@pytest.mark.parametrize("name", recipes.names())
def test_first_losses_are_as_stored(name):
    stored = json.loads(recipes.STORED.read_text())
    assert name in stored, f"a new recipe: python tests/support/recipes.py {name}"
    for got, want in zip(recipes.run(name), stored[name], strict=True):
        assert got == pytest.approx(want, rel=1e-6, abs=1e-8)
