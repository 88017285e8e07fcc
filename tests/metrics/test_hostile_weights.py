"""Files of weights and kept features that are damaged, or of somebody else."""

from __future__ import annotations

import os
import zipfile
from collections import OrderedDict

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from zoo.core.errors import ZooError
from zoo.inference import files
from zoo.layers.pretrained import read_weights
from zoo.metrics.cache import cache_path, images_hash, reference_features
from zoo.metrics.features.base import create_features
from zoo.metrics.features.inception import InceptionFeatures


class Opens:
    """What would make a file as it is unpickled."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return open, (str(self.file), "w")


class Zeros:
    def __reduce__(self):
        return bytearray, (10**10,)


@pytest.mark.parametrize("old", [True, False])
def test_weights_of_both_formats_are_read(tmp_path, old):
    state = OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.zeros(()))
    torch.save(state, tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    found = read_weights(tmp_path / "a.pth", "x")
    assert all(torch.equal(found[name], value) for name, value in state.items())


def _shared():
    value = torch.zeros(2**16)
    return {f"t{i}": value for i in range(9)}


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        lambda: {"a": Opens("made")},
        lambda: {"a": Zeros()},
        lambda: {"a": torch.zeros(1).expand(10**12)},
        lambda: {"a": torch.zeros(10, 10).to_sparse()},
        _shared,
        lambda: {"a": 1},
        lambda: [torch.zeros(1)],
    ],
    ids=["code", "bytearray", "expanded", "sparse", "shared", "number", "list"],
)
def test_weights_that_are_none(tmp_path, monkeypatch, make, old):
    monkeypatch.chdir(tmp_path)
    torch.save(make(), tmp_path / "a.pth", _use_new_zipfile_serialization=not old)
    with pytest.raises(ZooError, match=r"x: .*a\.pth is no file of weights"):
        read_weights(tmp_path / "a.pth", "x")
    assert not (tmp_path / "made").exists()


def test_compressed_weights_are_none(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as whole,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    with pytest.raises(ZooError, match="no file of weights"):
        read_weights(tmp_path / "b.pth", "x")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_never_end_are_none(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a{suffix}")
    with pytest.raises(ZooError, match="no file of weights"):
        read_weights(tmp_path / f"a{suffix}", "x")


def test_inception_unpickles_no_file(tmp_path, monkeypatch):
    file = tmp_path / "w.pth"
    with pytest.raises(ZooError, match=r"^features=inception: there is no weight file .*w\.pth\.$"):
        InceptionFeatures(str(file))
    torch.save({"a": torch.zeros(1)}, file)
    given = []
    load = torch.load

    def noted(place, *arguments, **options):
        given.append((place, options.get("weights_only")))
        return load(place, *arguments, **options)

    monkeypatch.setattr(torch, "load", noted)
    with pytest.raises(ZooError, match="does not hold the weights of torch-fidelity's"):
        InceptionFeatures(str(file))
    assert given[0] == (file, True)
    assert all(only for place, only in given if place in (file, str(file)))
    torch.save({"a": Opens(tmp_path / "made")}, file)
    with pytest.raises(ZooError, match="no file of weights"):
        InceptionFeatures(str(file))
    assert not (tmp_path / "made").exists()


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A network, images, and the file of their features."""
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    network = create_features("mnist")
    images = torch.randint(0, 256, (8, 1, 32, 32), dtype=torch.uint8)
    return network, images, cache_path(network, images_hash(images))


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1  # in a value
    path.write_bytes(content)


def _rewrite(change):
    def make(path):
        stored = load_file(path)
        save_file(change(stored), path)

    return make


@pytest.mark.parametrize(
    "damage",
    [
        _flip,
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 100),
        _rewrite(lambda stored: {"features": stored["features"] + 1}),
        _rewrite(lambda stored: {"features": stored["features"].int()}),
        _rewrite(lambda stored: {"features": stored["features"].flatten()}),
        _rewrite(lambda stored: {"features": torch.zeros(())}),
        _rewrite(lambda stored: {"others": torch.zeros(1)}),
        lambda path: (path.unlink(), os.mkfifo(path)),
    ],
)
def test_features_that_are_not_as_written_are_made_anew(kept, damage):
    network, images, path = kept
    first = reference_features(network, images)
    damage(path)
    assert torch.equal(reference_features(network, images), first)
    assert torch.equal(load_file(path)["features"], first)


def test_whatever_safetensors_says_costs_no_result(kept, monkeypatch):
    """Its error is no error of the system's, and the features were lost with the evaluation."""
    network, images, path = kept

    def fail(*arguments, **options):
        raise SafetensorError("Error while serializing: something else")

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.warns(
        UserWarning, match="reference features could not be cached in .*something else"
    ):
        assert reference_features(network, images).shape == (8, 128)
    assert list(path.parent.iterdir()) == []
    with pytest.raises(OSError, match="cannot be written: Error while serializing"):
        files.write_tensors(path, {"a": torch.zeros(1)})
