"""What every feature network and every metric promises, of the zoo or of a plugin."""

from __future__ import annotations

import math
import re

import pytest
import torch
from helpers_contracts import Part, live, parametrize
from torch import Tensor

import zoo
from zoo.core.errors import ZooError
from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.features.base import Features, create_features, extract
from zoo.metrics.scores.base import Metric


def images_for(shape: tuple[int, int, int], n: int = 3) -> Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8)


pytestmark = pytest.mark.usefixtures("offline")


def needs_weights(error: ZooError) -> bool:
    """Whether the error says which weights are not on this machine, as it has to."""
    return bool(re.search(r"(features=|metric )\w+ needs .*(\.pth|package)", str(error)))


def network_of(part: Part) -> Features | None:
    """The network; None where its weights are not on this machine, which it has to say."""
    try:
        made = zoo.create(*part, **live(part).tiny)
    except ZooError as error:
        if not needs_weights(error):
            raise
        return None
    assert isinstance(made, Features)
    return made


@parametrize("features")
def test_features_are_frozen_and_named(part: Part) -> None:
    network = network_of(part)
    if network is None:
        return
    assert network.name
    assert network.resizer
    assert re.fullmatch("[0-9a-f]{12}", network.weights_hash)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert list(network.parameters()) or list(network.buffers())  # by which its device is known


@parametrize("features")
def test_features_of_an_image_are_its_own(part: Part) -> None:
    network = network_of(part)
    if network is None:
        return
    images = images_for(network.tiny_shape)
    state = torch.get_rng_state()
    vectors, logits = extract(network, images, batch_size=3)
    again, _ = extract(network, images, batch_size=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(vectors, again)
    assert vectors.ndim == 2
    assert len(vectors) == len(images)
    assert vectors.dtype == torch.float32
    assert vectors.isfinite().all()
    classes = network.classes_of(images.shape[1])
    assert (logits is None) == (classes == 0)
    assert logits is None or logits.shape == (len(images), classes)
    single, _ = extract(network, images, batch_size=1)
    torch.testing.assert_close(single, vectors, atol=1e-3, rtol=1e-3)


def comparison(network: str, shape: tuple[int, int, int], n: int = 60) -> Comparison:
    """Of images with 10 classes, or of points with 3 modes."""
    made = create_features(network)
    images = images_for(shape, 2 * n)
    labels = torch.arange(n) % (3 if network == "points" else 10)
    vectors, logits = extract(made, images[:n])
    tested = images_for(shape, 3 * n)[2 * n :]
    reference = Reference(network, "train", images[n:], labels, int(labels.max()) + 1, tested)
    codes = labels[:, None]
    return Comparison(images[:n], labels, vectors, logits, reference, made, codes=codes)


@pytest.fixture
def of_images(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    return comparison("mnist", (1, 28, 28))


@parametrize("metric")
def test_metrics_give_the_same_figures_twice(part: Part, of_images: Comparison) -> None:
    made = zoo.create(*part)
    assert isinstance(made, Metric)
    assert set(made.needs) <= {"labels", "logits", "classes", "codes", "train", "test"}
    data = of_images
    try:
        made.prepare()
        first = made(data)
    except ZooError as error:
        if needs_weights(error):
            return
        if "points" not in str(error):
            raise
        data = comparison("points", (2, 1, 1))
        first = made(data)
    state = torch.get_rng_state()
    assert made(data) == pytest.approx(first, nan_ok=True)
    assert torch.equal(torch.get_rng_state(), state)
    assert first
    assert all(math.isfinite(value) for value in first.values())
    assert set(made.higher_is_better) <= first.keys()
    assert live(part).suits(data.network, data.reference, True) in (True, False)


@parametrize("metric")
def test_a_raised_protocol_number_is_recorded(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    made = zoo.create(*part)
    assert made.name == part[1]
    before = made.recorded()
    monkeypatch.setattr(type(made), "protocol", made.protocol + 1)
    assert made.recorded() != before
    assert f"protocol {made.protocol}" in made.recorded()
