"""A few of the fuzzer's command lines; `tests/fuzz/command_lines.py` makes as many as one likes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "fuzz" / "command_lines.py"


@pytest.mark.parametrize("seed", [1, 2])
def test_no_command_line_ends_in_a_bare_error(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location("command_lines", FILE)
    assert spec is not None
    assert spec.loader is not None
    fuzzer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzzer)
    counts, wrong = fuzzer.fuzz(20, seed, 300, fuzzer.compose_and_validate)
    assert not wrong
    assert counts["refused"] > 0
