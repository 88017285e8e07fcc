"""Checkpoints written before `zoo/` had rooms: they load, sample, and go on training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers_train import read, train

import zoo

OLD = Path(__file__).with_name("checkpoints")
CLASSES = {"mlp": 0, "dcgan": 10}
"""Two steps of `main` on mnist_subset, tiny networks, 8 and 16 pixels."""


@pytest.mark.parametrize("name", CLASSES)
def test_an_old_checkpoint_samples(name):
    model = zoo.load(OLD / f"{name}.ckpt")
    assert (model.images_seen, model.weights, model.num_classes) == (32, "ema", CLASSES[name])
    images = model.sample(3, label=5 if model.num_classes else None)
    size = model.data["image_size"]
    assert images.shape == (3, 1, size, size)
    assert images.isfinite().all()
    assert model.discriminator().num_classes == model.num_classes


@pytest.mark.parametrize("name", CLASSES)
def test_an_old_checkpoint_goes_on(name, tmp_path):
    file = tmp_path / "old" / "last.ckpt"
    file.parent.mkdir()
    shutil.copyfile(OLD / file.with_name(f"{name}.ckpt").name, file)
    before = read(file)
    train(tmp_path / "new", f"resume={file}", "trainer.max_steps=3")
    after = read(tmp_path / "new")
    assert (before["zoo"]["step"], after["zoo"]["step"]) == (2, 3)
    assert after["zoo"]["images_seen"] == 48
    assert after["state_dict"].keys() == before["state_dict"].keys()
    for name, value in after["state_dict"].items():
        assert value.shape == before["state_dict"][name].shape
        assert torch.isfinite(value).all()
