"""Whatever is written on a full disk: one sentence, no partial file, and what was there stays."""

from __future__ import annotations

import contextlib
import errno
import resource
import sys

import pytest
import torch
from helpers import make_checkpoint
from PIL import Image

import zoo
from zoo.cli.failures import error_sentence
from zoo.core.atomic import replacing, write_text
from zoo.core.errors import ZooError
from zoo.explore.plots import plot_curves
from zoo.inference.export import export
from zoo.inference.files import write_tensors
from zoo.inference.images import write_animation, write_png
from zoo.inference.publish import publish


@contextlib.contextmanager
def disk_of(most: int):
    """No file of this process may be larger, as on a disk that is nearly full."""
    before, writes_no_bytecode = resource.getrlimit(resource.RLIMIT_FSIZE), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # Python keeps half of such a file, and then trips over it
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = writes_no_bytecode


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return zoo.load(make_checkpoint(tmp_path_factory.mktemp("full") / "a.ckpt", "mlp"))


def frames():
    return [Image.fromarray(torch.randint(256, (64, 64)).byte().numpy()) for _ in range(3)]


WRITERS = {
    "generator.safetensors": lambda model, path: export(model, path, "safetensors"),
    "generator.pt2": lambda model, path: export(model, path, "pt2"),
    "generator.onnx": lambda model, path: export(model, path, "onnx"),
    "picture.png": lambda model, path: write_png(frames()[0], path),
    "video.gif": lambda model, path: write_animation(frames(), path),
    "video.webp": lambda model, path: write_animation(frames(), path),
    "curves.png": lambda model, path: plot_curves({"loss_d": ([1, 2], [1.0, 2.0])}, path),
    "notes.txt": lambda model, path: write_text(path, "x" * 2000),
    "latents.safetensors": lambda model, path: write_tensors(path, {"a": torch.zeros(999)}),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_file_that_was_there_stays_and_nothing_else(model, tmp_path, name):
    path = tmp_path / name
    path.write_text("the one before")
    with disk_of(1000), pytest.raises((ZooError, OSError)) as caught:
        WRITERS[name](model, path)
    told = error_sentence(caught.value)
    assert told.startswith(("cannot write", "the picture"))
    assert name in told
    assert "File too large" in told
    assert "\n" not in told
    assert path.read_text() == "the one before"
    assert [p.name for p in tmp_path.iterdir()] == [name]
    WRITERS[name](model, path)
    assert path.stat().st_size > 1000


def test_a_published_folder_stays_whole(model, tmp_path):
    publish(model, f"file:{tmp_path}")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with disk_of(4000), pytest.raises(ZooError, match=r"cannot (publish|write).*File too large"):
        publish(model, f"file:{tmp_path}")
    kept = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert kept.keys() == before.keys()
    assert kept["generator.safetensors"] == before["generator.safetensors"]


def test_an_error_of_the_disk_names_its_file(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match="No space") as caught, replacing(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error_sentence(caught.value) == (
        f"cannot write {path}: No space left on device; free some space."
    )
