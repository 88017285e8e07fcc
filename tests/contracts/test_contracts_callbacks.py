"""Every callback: made by name, at work in a training, kept by its checkpoint, named at its end."""

from __future__ import annotations

from pathlib import Path

import torch
from helpers_contracts import Part, live, parametrize
from helpers_train import TINY, train

import zoo
from zoo.registry import REGISTRY
from zoo.training.callbacks.base import Callback

ALONE = ["callbacks.samples=null", "callbacks.diagnostics=null", "callbacks.progress=null"]
"""Of the usual ones only that remains which writes the checkpoint."""
TINY_OTHERWISE = [o for o in TINY if not o.startswith("callbacks.")]


@parametrize("callback")
def test_a_callback_is_made_by_name(part: Part, tmp_path: Path) -> None:
    takes = {p.name for p in REGISTRY.get(*part).parameters}
    made = zoo.create(*part, **({"folder": str(tmp_path)} if "folder" in takes else {}))
    assert isinstance(made, Callback)
    for key, value in made.summary().items():
        assert isinstance(key, str)
        assert value is not None


@parametrize("callback")
def test_a_callback_takes_part_in_a_training_that_is_resumed(part: Part, tmp_path: Path) -> None:
    name = part[1]
    chosen = [o for o in ALONE if o != f"callbacks.{name}=null"]
    if all(f"callbacks.{name}" not in o for o in (*ALONE, "callbacks.checkpoints")):
        needed = ["evaluate"] * live(part).needs_figures
        chosen.append(f"+callback=[{','.join([name, *needed])}]")
    train(tmp_path, *TINY_OTHERWISE, *chosen, "trainer.max_epochs=1", tiny=False)
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 10
    summary = train(tmp_path, f"resume={tmp_path}", "trainer.max_epochs=2")
    assert summary["trained"].endswith(", 320 in total")
