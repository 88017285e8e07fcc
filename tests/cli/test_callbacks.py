"""A plugin's callback on the command line: chosen, set, run, resumed, refused in words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers_train import start

import zoo


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mine"
    zoo.create("task", "new", kind="callback", name="counter", folder=str(folder))(tmp_path)
    monkeypatch.setenv("ZOO_PLUGINS", str(folder))
    return folder


def finished(run: subprocess.Popen[str]) -> str:
    output, _ = run.communicate(timeout=300)
    assert run.returncode == 0, output
    return output


def test_a_plugins_callback_takes_part_in_a_run_and_goes_on_with_it(
    plugins: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    chosen = ["+callback=counter", "callbacks.counter.every_n_steps=5", "trainer.max_epochs=1"]
    told = finished(start(out, *chosen))
    assert (out / "counter.txt").read_text().split() == ["80", "160"]
    assert "run/counter.txt" in told
    finished(start(out, f"resume={out}", "trainer.max_epochs=2", tiny=False))
    assert (out / "counter.txt").read_text().split() == ["80", "160", "240", "320"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["+callback=countr"], "callback=countr: there is no such choice. Did you mean 'counter'?"),
        (["callback=counter", "callbacks.counter.every_n_steps=0"], "0 must be 1 or more."),
        (["+callback=counter", "callbacks.counter.every=1"], "Did you mean 'every_n_steps'?"),
        (["+callbacks.counter={}"], "callbacks.counter names no callback: choose one of check"),
        (["task=sample", "ckpt=mnist", "callback=counter"], "task=sample does not use callbacks"),
    ],
)
def test_a_wrong_choice_is_told(
    plugins: Path, tmp_path: Path, overrides: list[str], words: str
) -> None:
    run = start(tmp_path / "run", *overrides, tiny=False)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 1
    (line,) = errors.splitlines()
    assert words in line
