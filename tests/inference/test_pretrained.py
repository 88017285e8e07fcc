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


CONDITIONAL = [name for name in NAMES if zoo.load(name).num_classes]
CLASSIFIED = [name for name in CONDITIONAL if name in zoo.list_parts("features")]
"""Those for whose classes the zoo has a classifier."""
MEASURED = {"cifar10": 0.79}
"""Where a card has its figures in other features; of real images 0.82 are read right."""


def card_of(name):
    return (FOLDER / name / "README.md").read_text(encoding="utf-8")


def test_those_that_are_promised_are_there():
    assert {"mnist", "fashion_mnist"} <= set(CLASSIFIED)
    assert {"cifar10", "stacked_mnist"} <= set(NAMES)


@pytest.mark.parametrize("name", CLASSIFIED)
def test_a_pretrained_generator_draws_the_class_asked_for(name):
    model = zoo.load(name)
    classes = range(model.num_classes)
    images = torch.cat([model.sample(50, label=label, seed=label) for label in classes])
    labels = torch.arange(model.num_classes).repeat_interleave(50)
    _, logits = extract(create_features(name), to_uint8(images))
    assert logits is not None
    right = (logits.argmax(dim=1) == labels).float().mean().item()
    told = re.search(r"conditional_accuracy ↑ +([\d.]+)", card_of(name))
    want = float(told[1]) if told else MEASURED[name]
    assert right == pytest.approx(want, abs=0.04 if told else 0.07)  # three deviations of 500


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_pretrained_generator_makes_different_pictures_of_each_class(name):
    model = zoo.load(name)
    assert model.num_classes == len(model.class_names) == 10
    z, _ = model.draw(8, seed=0)
    images = torch.stack([model.generate(z, torch.full((8,), c)) for c in range(10)])
    assert images.shape == (10, 8, model.generator.channels, 32, 32)
    assert images.abs().max() <= 1
    pixels = images.flatten(2)
    assert pixels.std(dim=0).mean() > 0.05  # over the classes of one latent
    assert pixels.std(dim=1).mean() > 0.05  # over the latents of one class


def test_the_digits_in_three_colours_are_as_many_kinds_as_the_card_says():
    """Of 4,000 images of 1,000 even modes 982 would occur; each of the modes' shares is uneven."""
    images = torch.cat([zoo.load("stacked_mnist").sample(500, seed=i) for i in range(8)])
    features = create_features("mnist")
    digits = []
    for colour in to_uint8(images).split(1, dim=1):
        _, logits = extract(features, colour)
        digits.append(logits.argmax(dim=1))
    found = len(torch.stack(digits, dim=1).unique(dim=0))
    assert found > 900
    assert "modes ↑                     1,000" in card_of("stacked_mnist")


@pytest.mark.parametrize("name", NAMES)
def test_a_pretrained_generator_is_small_and_its_card_says_what_it_is(name):
    model, card = zoo.load(name), card_of(name)
    assert (FOLDER / name / "generator.safetensors").stat().st_size < 5_000_000
    assert f'zoo.load("{name}")' in card
    assert f"| trained on | {model.images_seen:,} images, " in card
    assert "stored as bf16" in card
    assert re.search(r"^(fid ↓|modes ↑) +\d", card, re.MULTILINE)
    assert "\nProtocol: " in card
    assert model.data["name"] in card  # which a name for `dataset=` is
    assert model.data["name"] in zoo.list_parts("datamodule")
    assert "/work/" not in card
