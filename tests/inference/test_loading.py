"""What `zoo.load` reads from a checkpoint alone, and what it says of files that it cannot read."""

from __future__ import annotations

import copy
import os

import pytest
import torch
from helpers import make_checkpoint

import zoo
from zoo.core.errors import ZooError
from zoo.inference.load import locate


def test_unreadable_checkpoints_are_told_from_damaged_ones(ckpt, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ZooError, match=r"cannot be read: permission denied\.$"):
        zoo.load(ckpt)


def test_a_run_folder_and_its_checkpoints_folder_load(ckpt):
    assert locate(ckpt.parent.parent) == ckpt
    assert locate(str(ckpt.parent)) == ckpt


def test_what_the_file_says(ckpt):
    model = zoo.load(ckpt)
    assert model.data["name"] == "mnist_subset"
    assert model.images_seen == 1280
    assert model.class_names == [str(i) for i in range(10)]
    assert "dcgan" in repr(model)
    assert "10 classes" in repr(model)


def test_the_data_set_is_rebuilt_from_the_file(tmp_path):
    images, labels = zoo.load(make_checkpoint(tmp_path / "a.ckpt")).dataset().split("train")
    assert images.shape[1:] == (1, 16, 16)
    assert len(images) == len(labels) > 1000

    def elsewhere(content):
        content["zoo"]["data"]["name"] = "my_pictures"

    edited = _edited(tmp_path / "a.ckpt", tmp_path / "b.ckpt", elsewhere)
    with pytest.raises(ZooError, match="my_pictures"):
        zoo.load(edited).dataset()


def test_missing_file_names_the_nearest(ckpt):
    with pytest.raises(ZooError, match=r"no checkpoint at .*Nearest: .*last\.ckpt"):
        zoo.load(ckpt.parent / "lst.ckpt")


def test_empty_folder(tmp_path):
    with pytest.raises(ZooError, match=r"holds no checkpoint.*checkpoints/last\.ckpt"):
        zoo.load(tmp_path)


def test_damaged_and_foreign_files(ckpt, tmp_path):
    half = tmp_path / "half.ckpt"
    half.write_bytes(ckpt.read_bytes()[: ckpt.stat().st_size // 2])
    text = tmp_path / "text.ckpt"
    text.write_text("not a checkpoint")
    empty = tmp_path / "empty.ckpt"
    empty.touch()
    for file in (half, text, empty):
        with pytest.raises(ZooError, match=r"damaged or no checkpoint \([\d,]+ bytes\)\.$"):
            zoo.load(file)
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}, "epoch": 3}, foreign)
    with pytest.raises(ZooError, match=r"no checkpoint of this zoo \(it has: state_dict, epoch"):
        zoo.load(foreign)
    tensor = tmp_path / "tensor.ckpt"
    torch.save(torch.zeros(3), tensor)
    with pytest.raises(ZooError, match="no checkpoint of this zoo"):
        zoo.load(tensor)
    weights = tmp_path / "broken.safetensors"
    weights.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{notjson")
    with pytest.raises(ZooError, match="safetensors"):
        zoo.load(weights)


class _Hostile:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_hostile_pickle_is_not_executed(tmp_path):
    mark = tmp_path / "executed"
    torch.save({"zoo": _Hostile(f"touch {mark}"), "state_dict": {}}, tmp_path / "evil.ckpt")
    with pytest.raises(ZooError, match="damaged or no checkpoint"):
        zoo.load(tmp_path / "evil.ckpt")
    assert not mark.exists()


def _edited(ckpt, path, edit):
    content = torch.load(ckpt, weights_only=True)
    content = copy.deepcopy(content)
    edit(content)
    torch.save(content, path)
    return path


def test_descriptions_that_cannot_be_followed(ckpt, tmp_path):
    def plugin(content):
        content["zoo"]["generator"]["name"] = "my_gan"
        content["zoo"]["sources"]["generator"] = "plugins/my_gan.py"

    def newer(content):
        content["zoo"]["format"] = 99

    def nothing(content):
        content["zoo"] = "?"

    def other_size(content):
        content["zoo"]["generator"]["options"]["image_size"] = 32

    def no_data(content):
        del content["zoo"]["data"]

    def huge(content):  # a trillion weights
        content["zoo"]["generator"]["options"]["base_channels"] = 10**6

    def miscounted(content):
        content["zoo"]["images_seen"] = "x"

    def unknown_weights(content):
        content["zoo"]["weights"] = "foo"

    for edit, message in [
        (plugin, r"needs the generator 'my_gan', which came from the plugin plugins/my_gan\.py"),
        (newer, "format 99"),
        (nothing, "cannot read"),
        (other_size, "does not fit its own description"),
        (no_data, "without its generator or its data"),
        (huge, "does not fit its own description"),
        (miscounted, "images_seen=x in its description"),
        (unknown_weights, "weights=foo in its description"),
    ]:
        with pytest.raises(ZooError, match=message):
            zoo.load(_edited(ckpt, tmp_path / "edited.ckpt", edit))
