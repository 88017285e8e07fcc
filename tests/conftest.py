"""What several test files share: checkpoints to read, and double precision to compare in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import make_checkpoint

KNOWN = Path(__file__).parent / "known_failures.txt"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect what `known_failures.txt` lists to fail, so that whatever else fails is seen."""
    listed = [n for n in KNOWN.read_text(encoding="utf-8").splitlines() if n.startswith("tests/")]
    for item in items:
        if any(item.nodeid.startswith(name) for name in listed):
            item.add_marker(pytest.mark.xfail(reason=f"listed in {KNOWN.name}", strict=False))


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="module")
def plain_ckpt(tmp_path_factory):
    return make_checkpoint(
        tmp_path_factory.mktemp("plain") / "plain.ckpt", num_classes=0, channels=3, ema=False
    )


@pytest.fixture
def float64():
    """Networks and random numbers are float64, for tests that two ways compute the same.

    In float32 the two differ by what the processor's kernels do (oneDNN takes other convolutions
    with AVX-512 than with AVX2), and a bound on that says nothing of the formula.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
