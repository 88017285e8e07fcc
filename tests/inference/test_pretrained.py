"""The generators that come with the zoo: they load by name, and draw what they are asked for."""

from __future__ import annotations

import re

import pytest
import torch

import zoo
from zoo.data.pixels import to_uint8
from zoo.metrics.features.base import create_features, extract
from zoo.registry.places import ROOT

FOLDER = ROOT / "zoo" / "inference" / "pretrained"
NAMES = sorted(p.name for p in FOLDER.iterdir() if p.is_dir())


def test_there_are_two():
    assert {"mnist", "fashion_mnist"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_pretrained_generator_draws_the_class_asked_for(name):
    model = zoo.load(name)
    classes = range(model.num_classes)
    images = torch.cat([model.sample(50, label=label, seed=label) for label in classes])
    labels = torch.arange(model.num_classes).repeat_interleave(50)
    _, logits = extract(create_features(name), to_uint8(images))
    assert logits is not None
    right = (logits.argmax(dim=1) == labels).float().mean().item()
    told = re.search(r"conditional_accuracy ↑ +([\d.]+)", (FOLDER / name / "README.md").read_text())
    assert told is not None
    assert right == pytest.approx(float(told[1]), abs=0.04)  # three deviations of 500 at 0.92
    assert (FOLDER / name / "generator.safetensors").stat().st_size < 4_000_000
