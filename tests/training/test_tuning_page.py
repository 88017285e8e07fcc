"""The page on what to tune: each of its commands composes, and each training of it runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from helpers_train import train

from zoo.cli import overrides
from zoo.cli.store import CONFIGS, store_parts

PAGE = Path(__file__).parents[2] / "zoo" / "training" / "tuning.md"
SMALL = [
    "datamodule.train_val_test_split=[64,8,8]",
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
    "callbacks.samples.rows=1",
    "callbacks.progress=null",
]


def commands() -> list[str]:
    return re.findall(r"^python run\.py (.*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("command", commands())
def test_commands_compose(command: str) -> None:
    store_parts()
    overrides.check(overrides.normalise(shlex.split(command)), CONFIGS)


@pytest.mark.parametrize("command", [c for c in commands() if "task=" not in c and "-m" not in c])
def test_trainings_run(command: str, tmp_path: Path) -> None:
    given = shlex.split(command)
    batch = [] if "datamodule.batch_size" in command else ["datamodule.batch_size=8"]
    summary = train(tmp_path, *SMALL, *batch, *given, tiny=False)
    assert summary["loss_g"] == summary["loss_g"]  # a number


def test_the_page_is_linked() -> None:
    assert "tuning.md" in (PAGE.parent / "README.md").read_text(encoding="utf-8")
    assert len(commands()) >= 15
