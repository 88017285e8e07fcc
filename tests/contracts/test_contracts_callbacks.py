"""Every callback: made by name, at work in a training, kept by its checkpoint, named at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers_train import TINY, train

import zoo
from zoo.registry import REGISTRY
from zoo.training.callbacks.base import Callback

ALONE = ["callbacks.samples=null", "callbacks.diagnostics=null", "callbacks.progress=null"]
"""Of the usual ones only that remains which writes the checkpoint."""
TINY_OTHERWISE = [o for o in TINY if not o.startswith("callbacks.")]
CALLBACKS = zoo.list_parts("callback")


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_is_made_by_name(name: str, tmp_path: Path) -> None:
    part = REGISTRY.get("callback", name)
    filled = {"folder": str(tmp_path)} if "folder" in {p.name for p in part.parameters} else {}
    made = zoo.create("callback", name, **filled)
    assert isinstance(made, Callback)
    for key, value in made.summary().items():
        assert isinstance(key, str)
        assert value is not None


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_callback_takes_part_in_a_training_and_in_its_going_on(name: str, tmp_path: Path) -> None:
    chosen = [o for o in ALONE if o != f"callbacks.{name}=null"]
    if all(f"callbacks.{name}" not in o for o in (*ALONE, "callbacks.checkpoints")):
        needed = ["evaluate"] * REGISTRY.get("callback", name).load().needs_figures
        chosen.append(f"+callback=[{','.join([name, *needed])}]")
    train(tmp_path, *TINY_OTHERWISE, *chosen, "trainer.max_epochs=1", tiny=False)
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 10
    summary = train(tmp_path, f"resume={tmp_path}", "trainer.max_epochs=2")
    assert summary["trained"].startswith("320 images")
