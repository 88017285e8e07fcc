"""A real training on a CUDA device, and every use of its checkpoint there, in new processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from helpers_train import read, start

from zoo.registry.places import ROOT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
USE = """
import sys
from pathlib import Path
import torch
import zoo
run, out = map(Path, sys.argv[1:])
model = zoo.load(run, device="cuda")
assert model.device.type == "cuda"
torch.testing.assert_close(
    model.sample(4, seed=3), zoo.load(run, device="cpu").sample(4, seed=3), atol=0.02, rtol=0
)
options = dict(ckpt=str(run), device="cuda")
zoo.create("task", "sample", n=3, label="all", walk="linear", frames=4, **options)(out / "sample")
for format in ("onnx", "pt2", "safetensors"):
    made = zoo.create("task", "export", ckpt=str(run), format=format)(out / "export")
    assert zoo.load(made["file"]).sample(2, label=1).shape == model.sample(2, label=1).shape, format
zoo.create("task", "evaluate", ckpt=str(run), n=100, metrics=["fid", "kid"], device="cuda")(
    out / "figures"
)
zoo.create("task", "explore", ckpt=str(run), n=24, device="cuda")(out / "report")
"""
SETTINGS = [
    "datamodule.train_val_test_split=[1600,200,200]",
    "datamodule.batch_size=16",
    "model.generator.base_channels=8",
    "model.discriminator.base_channels=8",
    "trainer.accelerator=auto",
    "callbacks.progress=null",
]


def finished(process) -> str:
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return said + errors


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_training_and_every_use_of_it(tmp_path, precision):
    run = tmp_path / "run"
    settings = ["model.conditional=true", f"trainer.precision={precision}", "trainer.max_steps=30"]
    said = finished(start(run, *SETTINGS, *settings, tiny=False))
    assert "note: " not in said, said
    assert read(run)["zoo"]["step"] == 30
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    used = subprocess.run(
        [sys.executable, "-c", USE, run, tmp_path],
        capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300,
    )  # fmt: skip
    assert used.returncode == 0, used.stderr
    assert json.loads(next((tmp_path / "figures").rglob("*.json")).read_text())
