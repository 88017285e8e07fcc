"""Environment variables that are set for a while."""

from __future__ import annotations

import os

import pytest

from zoo.core.environment import environment


def test_variables_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_OLD", "before")
    monkeypatch.delenv("ZOO_NEW", raising=False)
    with environment(ZOO_OLD="during", ZOO_NEW="during"):
        assert os.environ["ZOO_OLD"] == os.environ["ZOO_NEW"] == "during"
    assert os.environ["ZOO_OLD"] == "before"
    assert "ZOO_NEW" not in os.environ
