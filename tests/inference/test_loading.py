"""What `zoo.load` reads from a checkpoint alone, and what it says of files that it cannot read."""

from __future__ import annotations

import copy
import os
import zipfile
from pathlib import Path

import pytest
import torch
from helpers import make_checkpoint
from safetensors.torch import save_file

import zoo
from zoo.core.errors import ZooError
from zoo.inference.images import to_uint8
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
    with pytest.raises(ZooError, match=r"no checkpoint at .*Most similar: .*last\.ckpt"):
        zoo.load(ckpt.parent / "lst.ckpt")


def test_networks_that_look_at_pictures_are_no_nearest_generators():
    with pytest.raises(ZooError, match=r"Most similar: .*pretrained/") as told:
        zoo.load(Path(zoo.__file__).with_name("mnist.safetensors"))
    assert "metrics" not in str(told.value)


def test_weights_that_a_model_of_the_zoo_does_not_hold_are_told_by_its_name():
    with pytest.raises(ZooError, match=r"^weights=raw: mnist holds no raw weights, only ema\.$"):
        zoo.load("mnist", weights="raw")


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
        with pytest.raises(ZooError, match=r"damaged or not a checkpoint \([\d,]+ bytes\)\.$"):
            zoo.load(file)
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {}, "epoch": 3}, foreign)
    with pytest.raises(ZooError, match=r"not a checkpoint of this zoo \(it has: state_dict, epoch"):
        zoo.load(foreign)
    tensor = tmp_path / "tensor.ckpt"
    torch.save(torch.zeros(3), tensor)
    with pytest.raises(ZooError, match="not a checkpoint of this zoo"):
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
    with pytest.raises(ZooError, match="damaged or not a checkpoint"):
        zoo.load(tmp_path / "evil.ckpt")
    assert not mark.exists()


def _edited(ckpt, path, edit):
    content = torch.load(ckpt, weights_only=True)
    content = copy.deepcopy(content)
    edit(content)
    torch.save(content, path)
    return path


def described(**parts):
    """An edit of a checkpoint's description."""

    def edit(content):
        for part, change in parts.items():
            content["zoo"][part].update(change)

    return edit


def weight(change):
    """An edit of one of the averaged generator's weights."""

    def edit(content):
        state = content["state_dict"]
        name = next(k for k in state if k.startswith("ema_") and state[k].dim() == 4)
        state[name] = change(state[name])

    return edit


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def laughs(depth):
    """A billion values out of thirty lists."""
    value = ["ha"]
    for _ in range(depth):
        value = [value, value]
    return value


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
        (described(discriminator={"head": {"options": {}}}), "head .* without its name"),
        (described(generator={"options": None}), "without its generator or its data"),
        (described(data={"class_names": 5}), "class_names .* not a list of strings"),
        (described(data={"class_names": ["a" * 2000]}), "more than 1,000 characters"),
        (described(data={"options": 5}), "data.options"),
        (described(data={"channels": -1}), "channels=-1 in its description"),
        (lambda c: c["zoo"]["generator"]["options"].update(channels=-1), "channels=-1 in its"),
        (lambda c: c["zoo"]["generator"]["options"].update(image_size=2**60), "at most 65,536"),
        (lambda c: c["zoo"].update(latent="normal"), "latent .* without its name"),
        (lambda c: c["zoo"].update(latent={"name": "normla", "options": {}}), "latent 'normla'"),
        (lambda c: c["zoo"].update(sources=["x"]), "sources"),
        (lambda c: c["zoo"].update(notes=nested(100)), "nested more than 50 deep"),
        (lambda c: c["zoo"].update(notes=laughs(30)), "more than 1,000,000 values"),
        (lambda c: c.update(state_dict=[1]), "not a dictionary of tensors"),
        (lambda c: c.update(state_dict=None), "not a dictionary of tensors"),
        (lambda c: c.update(state_dict={1: torch.zeros(1)}), "not a dictionary of tensors"),
        (lambda c: c["state_dict"].update(more=[1]), "more .* not a tensor"),
        (weight(lambda w: w.to_sparse()), "sparse or has no values"),
        (weight(lambda w: w.to("meta")), "sparse or has no values"),
        (weight(lambda w: w[:1].clone().expand_as(w)), "more memory than the file"),
        (weight(lambda w: w.to(torch.complex64)), "holds complex64 where .* float32"),
        (weight(lambda w: w.long()), "holds int64 where .* float32"),
        (weight(lambda w: w.index_fill(0, torch.tensor(0), float("nan"))), "training diverged"),
        (weight(lambda w: w / 0), "training diverged"),
    ]:
        with pytest.raises(ZooError, match=message):
            zoo.load(_edited(ckpt, tmp_path / "edited.ckpt", edit))


def test_every_flipped_bit_of_a_tensor_is_seen(ckpt, tmp_path):
    data = ckpt.read_bytes()
    with zipfile.ZipFile(ckpt) as archive:
        entries = [e for e in archive.infolist() if "/data/" in e.filename]
    flipped = tmp_path / "flipped.ckpt"
    for entry in entries[:: max(1, len(entries) // 5)]:
        end = entry.header_offset + 30 + len(entry.filename)
        extra = int.from_bytes(data[entry.header_offset + 28 : entry.header_offset + 30], "little")
        place = end + extra + entry.file_size // 2
        changed = bytearray(data)
        changed[place] ^= 1
        flipped.write_bytes(changed)
        with pytest.raises(ZooError, match="is damaged or not a checkpoint"):
            zoo.load(flipped)


def test_what_would_take_more_memory_than_its_bytes_is_refused(ckpt, tmp_path):
    deflated = tmp_path / "deflated.ckpt"
    with (
        zipfile.ZipFile(ckpt) as given,
        zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for entry in given.infolist():
            made.writestr(entry.filename, given.read(entry))

    class Filled:
        def __reduce__(self):
            return bytearray, (10**6,)

    torch.save({"zoo": Filled(), "state_dict": {}}, tmp_path / "filled.ckpt")
    for file in (deflated, tmp_path / "filled.ckpt"):
        with pytest.raises(ZooError, match="is damaged or not a checkpoint"):
            zoo.load(file)


@pytest.mark.parametrize("options", [{"base_channels": 2**40}, {"image_size": 2**14}])
def test_a_network_larger_than_its_file_is_never_made(ckpt, tmp_path, options):
    """Nor is it where its sketch takes no look at the tensors, as with parts made in a loop."""

    def larger(content):
        content["zoo"]["generator"]["options"].update(options)

    file = _edited(ckpt, tmp_path / "large.ckpt", larger)
    with pytest.raises(ZooError, match="does not fit its own description"):
        zoo.load(file)


def test_a_deep_description_of_a_safetensors_file(tmp_path):
    file = tmp_path / "deep.safetensors"
    text = "[" * 100_000 + "]" * 100_000
    save_file({"generator.w": torch.zeros(1)}, file, metadata={"zoo": text})
    with pytest.raises(ZooError, match="nested too deep"):
        zoo.load(file)


def test_a_path_of_five_thousand_letters():
    with pytest.raises(ZooError, match="there is no checkpoint at 'aaa") as caught:
        zoo.load("a" * 5000)
    assert len(str(caught.value)) < 200


def test_class_names_are_printed_without_control_characters(tmp_path):
    names = [f"\x1b[2J{i}" for i in range(10)]
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt", class_names=names))
    assert model.class_names[3] == "?[2J3"


def test_what_an_error_repeats_of_a_file_moves_no_cursor(ckpt, tmp_path):
    def hostile(content):
        content["zoo"]["data"]["image_size"] = "\x1b[2J"

    with pytest.raises(ZooError, match=r"image_size=\?\[2J in") as caught:
        zoo.load(_edited(ckpt, tmp_path / "edited.ckpt", hostile))
    assert str(caught.value).isprintable()


def test_pixels_are_clamped_or_refused(tmp_path):
    """Of a generator without a last tanh, and of one whose images are not numbers."""
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt", "mlp", num_classes=0))
    factor = [3.0]
    model.generator.register_forward_hook(lambda module, args, images: images * factor[0])
    images = model.sample(4)
    assert images.abs().max() == 1
    assert torch.equal(to_uint8(images), to_uint8(model.generator(model.draw(4)[0]).detach()))
    factor[0] = float("nan")
    with pytest.raises(ZooError, match="NaN or infinite pixels"):
        model.sample(4)


@pytest.mark.parametrize("task", ["sample", "evaluate", "explore", "export", "serve"])
def test_an_empty_name_is_not_the_current_folder(tmp_path, monkeypatch, task):
    make_checkpoint(tmp_path / "last.ckpt", "mlp", "mlp")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZooError, match=r"an empty name is not a checkpoint.*mnist"):
        zoo.create("task", task, ckpt="")(tmp_path / "out")
