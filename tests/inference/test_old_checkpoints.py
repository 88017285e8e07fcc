"""Checkpoints of every release: they load, sample, and go on training."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from helpers_train import read, train

import zoo
from zoo.registry.places import ROOT

OLD = Path(__file__).with_name("checkpoints")
CLASSES = {"mlp": 0, "dcgan": 10}
"""Two steps on mnist_subset, tiny networks, 8 and 16 pixels."""
RELEASES = sorted(p.name for p in OLD.iterdir())


def test_every_release_has_its_checkpoints():
    """`python tests/support/keep_checkpoints.py` writes those of this version."""
    told = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sorted(told) == RELEASES
    assert zoo.__version__ in RELEASES
    for release in RELEASES:
        assert {p.stem for p in (OLD / release).glob("*.ckpt")} == set(CLASSES)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", CLASSES)
def test_an_old_checkpoint_samples(name, release):
    model = zoo.load(OLD / release / f"{name}.ckpt")
    assert (model.images_seen, model.weights, model.num_classes) == (32, "ema", CLASSES[name])
    images = model.sample(3, label=5 if model.num_classes else None)
    size = model.data["image_size"]
    assert images.shape == (3, 1, size, size)
    assert images.isfinite().all()
    assert model.discriminator().num_classes == model.num_classes
    saved = OLD / release / f"{name}.safetensors"
    if saved.is_file():
        assert torch.equal(zoo.load(saved).sample(3), model.sample(3))


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", CLASSES)
def test_an_old_checkpoint_goes_on(name, release, tmp_path):
    file = tmp_path / "old" / "last.ckpt"
    file.parent.mkdir()
    shutil.copyfile(OLD / release / f"{name}.ckpt", file)
    before = read(file)
    train(tmp_path / "new", f"resume={file}", "trainer.max_steps=3")
    after = read(tmp_path / "new")
    assert (before["zoo"]["step"], after["zoo"]["step"]) == (2, 3)
    assert after["zoo"]["images_seen"] == 48
    assert after["state_dict"].keys() == before["state_dict"].keys()
    for name, value in after["state_dict"].items():
        assert value.shape == before["state_dict"][name].shape
        assert torch.isfinite(value).all()
