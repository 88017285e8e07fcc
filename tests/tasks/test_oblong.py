"""A folder of 48x32 pictures from training to every use of its checkpoint, in new processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers_data import save
from helpers_train import start
from PIL import Image

from zoo.registry.places import ROOT

USE = """
import sys
from pathlib import Path
import zoo
run, out = map(Path, sys.argv[1:])
made = zoo.create("task", "sample", ckpt=str(run), n=3, label="all", walk="linear", frames=4)
print(made(out / "sample"))
for format in ("onnx", "pt2", "safetensors"):
    made = zoo.create("task", "export", ckpt=str(run), format=format)(out / "export")
    images = zoo.load(made["file"]).sample(2, label=1)
    assert images.shape == (2, 3, 48, 32), format
zoo.create("task", "evaluate", ckpt=str(run), n=24, metrics=["fid"])(out / "figures")
zoo.create("task", "explore", ckpt=str(run), n=24)(out / "report")
data = zoo.load(run).dataset()
assert (data.height, data.width) == (48, 32)
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oblong")
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(16):
            picture = np.full((96, 60, 3), random.integers(0, 255, 3), np.uint8)
            picture[20:70, 10:40] = random.integers(0, 255, 3)
            save(folder / "pictures" / name / f"{i}.png", picture)
    process = start(
        folder / "run", "datamodule=image_folder", f"datamodule.folder={folder / 'pictures'}",
        "datamodule.image_size=[48,32]", f"datamodule.cache_dir={folder / 'cache'}",
        "datamodule.batch_size=8", "model.generator.base_channels=8",
        "model.discriminator.base_channels=8", "trainer.max_steps=3", "trainer=cpu", tiny=False,
    )  # fmt: skip
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return folder, said


def test_training_shows_the_shape(trained):
    folder, said = trained
    assert "3×48×32" in said
    grid = Image.open(next((folder / "run" / "samples").glob("images_*24.png")))
    assert grid.size == (2 + 2 * (32 + 2), grid.size[1])


def test_every_use_of_the_checkpoint_in_a_new_process(trained):
    folder, _ = trained
    out = folder / "uses"
    done = subprocess.run(
        [sys.executable, "-c", USE, str(folder / "run"), str(out)],
        capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Image.open(out / "sample" / "00000_labelcat.png").size == (32, 48)
    walk = Image.open(out / "sample" / "walk_linear.gif")
    assert (walk.width, walk.height) == (2 + 4 * (32 + 2), 2 + 48 + 2)
    figures = json.loads((out / "figures" / "metrics.json").read_text())
    assert "3x48x32" in str(figures)
    assert "3×48×32" in (out / "report" / "report.html").read_text()
