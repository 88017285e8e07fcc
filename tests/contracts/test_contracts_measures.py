"""What every feature network promises, of the zoo or of a plugin."""

from __future__ import annotations

import re

import pytest
import torch
from helpers_contracts import Part, live, parametrize
from torch import Tensor

import zoo
from zoo.core.errors import ZooError
from zoo.metrics.features.base import Features, extract


def images_for(shape: tuple[int, int, int], n: int = 3) -> Tensor:
    torch.manual_seed(0)
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8)


def network_of(part: Part, monkeypatch: pytest.MonkeyPatch) -> Features | None:
    """The network; None where its weights are not on this machine, which it has to say."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    try:
        made = zoo.create(*part, **live(part).tiny)
    except ZooError as error:
        if not re.search(rf"features={part[1]} needs .*(\.pth|package)", str(error)):
            raise
        return None
    assert isinstance(made, Features)
    return made


@parametrize("features")
def test_features_are_frozen_and_named(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(part, monkeypatch)
    if network is None:
        return
    assert network.name
    assert network.resizer
    assert re.fullmatch("[0-9a-f]{12}", network.weights_hash)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert list(network.parameters()) or list(network.buffers())  # by which its device is known


@parametrize("features")
def test_features_of_an_image_are_its_own(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(part, monkeypatch)
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
