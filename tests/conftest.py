"""Checkpoints that several test files read."""

from __future__ import annotations

import pytest
from helpers import make_checkpoint


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return make_checkpoint(tmp_path_factory.mktemp("run") / "checkpoints" / "last.ckpt")


@pytest.fixture(scope="module")
def plain_ckpt(tmp_path_factory):
    return make_checkpoint(
        tmp_path_factory.mktemp("plain") / "plain.ckpt", num_classes=0, channels=3, ema=False
    )
