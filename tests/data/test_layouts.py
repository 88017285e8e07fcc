"""Folders as others lay them out: splits, files of labels, what is no picture, deep pictures."""

from __future__ import annotations

import json
import os
import re
import tarfile

import datasets
import numpy as np
import pytest
import torch
from helpers_data import GREY, folder_data, lay_out, make_folder, save
from PIL import Image, features

from zoo.core.errors import ZooError
from zoo.data.finding import find_pictures
from zoo.data.pictures import decode


def of(data, split):
    """The brightness of each image of a split, which is its number, and its class by name."""
    images, labels = data.split(split)
    names = data.class_names or [""]
    return list(zip(images[:, 0, 0, 0].tolist(), [names[y] for y in labels], strict=True))


# Splits


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_folders_of_splits_are_splits(tmp_path, val):
    names = [
        f"{s}/{c}/{i}.png" for s in ("train", val, "test") for c in ("cat", "dog") for i in "01"
    ]
    data = folder_data(lay_out(tmp_path / "d", names), tmp_path)
    assert of(data, "train") == [(0, "cat"), (1, "cat"), (2, "dog"), (3, "dog")]
    assert of(data, "val") == [(4, "cat"), (5, "cat"), (6, "dog"), (7, "dog")]
    assert of(data, "test") == [(8, "cat"), (9, "cat"), (10, "dog"), (11, "dog")]
    assert data.class_names == ["cat", "dog"]


def test_folders_of_splits_without_classes_and_with_fractions(tmp_path):
    names = [f"train/{i}.png" for i in range(8)] + ["valid/0.png"]
    folder = lay_out(tmp_path / "d", names)
    data = folder_data(folder, tmp_path, test_fraction=0.25)
    assert [data.size(split) for split in ("train", "val", "test")] == [6, 1, 2]
    assert data.num_classes == 0
    with pytest.raises(
        ZooError, match=r"already has a folder for the split 'val': leave val_fracti"
    ):
        folder_data(folder, tmp_path, val_fraction=0.25).setup()


def test_classes_beside_one_called_train_are_classes(tmp_path):
    data = folder_data(lay_out(tmp_path / "d", ["train/0.png", "bus/0.png"]), tmp_path)
    assert of(data, "train") == [(0, "bus"), (1, "train")] or of(data, "train") == [
        (1, "bus"),
        (0, "train"),
    ]
    only = folder_data(lay_out(tmp_path / "e", ["test/0.png", "val/0.png"]), tmp_path)
    only.setup()
    assert only.class_names == ["test", "val"]  # nothing to train on, were these splits


# Files of labels

NAMES = ["00000/a.png", "00000/b.png", "00001/c.png", "00001/d.png"]
BY_FILE = {"00000/a.png": 10, "00000/b.png": 2, "00001/c.png": 2, "00001/d.png": 10}
EXPECTED = [(0, "10"), (1, "2"), (2, "2"), (3, "10")]


def test_dataset_json_is_read(tmp_path):
    folder = lay_out(tmp_path / "d", NAMES)
    (folder / "dataset.json").write_text(json.dumps({"labels": list(BY_FILE.items())}))
    data = folder_data(folder, tmp_path)
    assert of(data, "train") == EXPECTED
    assert data.class_names == ["2", "10"]  # by value
    assert not data.notes
    (folder / "dataset.json").write_text('{"labels": null}')
    data = folder_data(folder, tmp_path)
    data.setup()
    assert data.num_classes == 0
    assert "has no labels" in data.notes[0]
    assert folder_data(folder, tmp_path, labels="folders").split("train")[1].tolist() == [
        0,
        0,
        1,
        1,
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("l.csv", "file,label\n" + "".join(f"{k},{v}\n" for k, v in BY_FILE.items())),
        ("l.csv", "\ufeff" + "".join(f'"{k}", {v}\r\n' for k, v in BY_FILE.items())),
        ("l.csv", "file;label\n" + "".join(f"{k};{v}\n" for k, v in BY_FILE.items())),
        ("l.csv", "".join(f"{k}\t{v}\n" for k, v in BY_FILE.items())),
        ("l.csv", "class,id\n" + "".join(f"{v},{k[:-4]}\n" for k, v in BY_FILE.items())),
        ("l.csv", "label,of\n" + "".join(f"{v},{k}\n" for k, v in BY_FILE.items())),
        ("l.csv", "name,species\n" + "".join(f"{k},{v}\n" * 2 for k, v in BY_FILE.items())),
        ("l.csv", "name,age,class\n" + "".join(f"{k},1,{v}\n" for k, v in BY_FILE.items())),
        ("l.json", json.dumps(BY_FILE)),
        ("l.json", json.dumps([[f"./{k}", str(v)] for k, v in BY_FILE.items()])),
        ("l.json", json.dumps({"labels": [[k.replace("/", "\\"), v] for k, v in BY_FILE.items()]})),
    ],
)
def test_files_of_labels(tmp_path, monkeypatch, file, text):
    folder = lay_out(tmp_path / "d", NAMES)
    (folder / file).write_text(text)
    assert of(folder_data(folder, tmp_path, labels=file), "train") == EXPECTED
    (folder / file).rename(tmp_path / file)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert of(folder_data(folder, tmp_path, labels=f"~/{file}"), "train") == EXPECTED


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,width,species\n00000/a.png,64,cat\n", "none of its columns name, width, species"),
        ("00000/a.png,cat\n00000/b.png,cat\n00000/a.png,dog\n", "twice, as 'cat' and as 'dog'"),
    ],
)
def test_a_file_of_labels_that_leaves_the_class_open_is_refused(tmp_path, text, reason):
    """Taking the second column, or the last class, would give wrong labels and say nothing."""
    folder = lay_out(tmp_path / "d", NAMES)
    (folder / "l.csv").write_text(text)
    with pytest.raises(ZooError, match=reason):
        folder_data(folder, tmp_path, labels="l.csv", on_error="skip").setup()


def test_files_of_labels_name_the_classes_of_every_split(tmp_path):
    folder = lay_out(tmp_path / "d", ["train/0.png", "train/1.png", "test/2.png"])
    (folder / "l.csv").write_text("train/0.png,dog\ntrain/1.png,cat\ntest/2.png,cat\n")
    data = folder_data(folder, tmp_path, labels="l.csv")
    assert of(data, "train") == [(1, "dog"), (2, "cat")] or of(data, "train") == [
        (0, "dog"),
        (1, "cat"),
    ]
    assert of(data, "test")[0][1] == "cat"


def test_pictures_without_a_label_stop_or_are_left_out(tmp_path):
    folder = lay_out(tmp_path / "d", NAMES)
    labels = [["00000/a.png", 1], ["00000/b.png", None], ["00001/c.png", 0]]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(
        ZooError, match=r"00000/b\.png has no label .* \(the first of 2 such pictures\): .*=skip$"
    ):
        folder_data(folder, tmp_path).setup()
    data = folder_data(folder, tmp_path, on_error="skip")
    assert of(data, "train") == [(0, "1"), (2, "0")]
    assert "2 pictures without a label" in data.notes[0]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read as labels"),
        ('{"labels": [["00000/a.png", [1, 0]]]}', "neither a whole number nor a name"),
        ('{"labels": [1, 2]}', "cannot be read as labels"),
        ('{"labels": [["other.png", 1]]}', "names none of the 4 pictures"),
        ('{"labels": [["00000/a.png", null]]}', "names no class"),
        ("[" * 100_000, "cannot be read as labels"),
    ],
)
def test_damaged_files_of_labels(tmp_path, text, reason):
    folder = lay_out(tmp_path / "d", NAMES)
    (folder / "dataset.json").write_text(text)
    with pytest.raises(ZooError, match=reason):
        folder_data(folder, tmp_path).setup()


def test_labels_that_are_no_file(tmp_path):
    folder = lay_out(tmp_path / "d", NAMES)
    with pytest.raises(ZooError, match=r"labels=folder is not a \.csv or .*, neither here nor in"):
        folder_data(folder, tmp_path, labels="folder").setup()
    with pytest.raises(ZooError, match=r"labels=/no/file\.csv is not .*\.json file; other choices"):
        folder_data(folder, tmp_path, labels="/no/file.csv").setup()


def test_a_flat_folder_has_no_labels(tmp_path):
    data = folder_data(lay_out(tmp_path / "d", ["0.png", "1.png"]), tmp_path)
    assert of(data, "train") == [(0, ""), (1, "")]
    assert data.num_classes == 0
    assert "are not sorted into sub-folders" in data.notes[0]
    assert data.notes[0].endswith("datamodule.labels=FILE")


def test_numbers_as_folders_are_in_order_of_value(tmp_path):
    data = folder_data(lay_out(tmp_path / "d", [f"{n}/a.png" for n in (9, 10, 1)]), tmp_path)
    data.setup()
    assert data.class_names == ["1", "9", "10"]


# What is no picture


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif(tmp_path):
    folder = tmp_path / "d"
    save(folder / "a.avif", GREY)
    image = folder_data(folder, tmp_path).split("train")[0]
    assert (image.int() - 99).abs().max() <= 2


def test_every_kind_that_is_left_out_is_told(tmp_path):
    folder = lay_out(tmp_path / "d", ["a.png"])
    for name in ("a.heic", "b.heic", "notes.txt", "README"):
        (folder / name).write_text("x")
    data = folder_data(folder, tmp_path)
    data.setup()
    told = "2 files ending in .heic, 1 without an ending, 1 in .txt"
    assert any(told in note for note in data.notes), data.notes
    (folder / "a.png").unlink()
    with pytest.raises(ZooError, match=r"no picture .* It has 2 files ending in \.heic"):
        find_pictures(folder)
    (folder / "raw").mkdir()
    (folder / "raw" / "train-images-idx3-ubyte.gz").write_text("x")
    with pytest.raises(ZooError, match=r"in data_dir/MNIST/raw \(datamodule=mnist\)"):
        find_pictures(folder)


def test_archives_that_are_not_read_are_to_be_unpacked(tmp_path):
    (tmp_path / "d").mkdir()
    file = tmp_path / "d" / "all.rar"
    file.write_bytes(b"Rar!")
    with pytest.raises(ZooError, match=r"all\.rar is an archive of a kind .*: unpack it"):
        folder_data(file, tmp_path).setup()
    with pytest.raises(ZooError, match=r"It has 1 file ending in \.rar. Name the archive"):
        find_pictures(tmp_path / "d")


def test_a_pipe_is_no_picture_and_nobody_waits_for_it(tmp_path):
    folder = lay_out(tmp_path / "d", ["a.png"])
    os.mkfifo(folder / "b.png")
    os.mkfifo(folder / "c.jpg")
    data = folder_data(folder, tmp_path)
    assert data.size("train") == 1
    assert any(".png (not a file)" in note for note in data.notes)
    with pytest.raises(ZooError, match=r"b\.png cannot be read as a picture"):
        decode(folder / "b.png", 8, 3)
    os.mkfifo(folder / "dataset.json")
    assert folder_data(folder, tmp_path).size("train") == 1


@pytest.mark.parametrize("labels", ["auto", "folders", "missing.csv"])
def test_hints_end_in_no_full_stop_that_reads_as_part_of_a_value(tmp_path, labels):
    folder = lay_out(tmp_path / "d", ["a.png", "cat/b.png"])
    for given in (folder, tmp_path / "none"):
        with pytest.raises(ZooError) as caught:
            folder_data(given, tmp_path, labels=labels).setup()
        assert not re.search(r"=\S*\.$", str(caught.value))


# The cache


@pytest.mark.parametrize("damage", ["cut", "empty", "header", "text", "gone"])
def test_a_damaged_cache_is_made_anew(tmp_path, damage):
    folder = make_folder(tmp_path / "d")
    want = folder_data(folder, tmp_path).split("train")[0].clone()
    (file,) = (tmp_path / "cache").glob("*.npy")
    content = file.read_bytes()
    changed = {
        "cut": content[:-1],
        "empty": b"",
        "header": content.replace(b"(8, 3, 8, 8)", b"(2, 3, 8, 8)"),
        "text": b"hello",
    }
    file.unlink()
    if damage in changed:
        file.write_bytes(changed[damage])
    assert torch.equal(folder_data(folder, tmp_path).split("train")[0], want)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


# Labels that pictures bring themselves


def npz(place):
    np.savez(place / "a.npz", images=np.zeros((4, 8, 8), np.uint8), labels=[0, 1, 0, 1])
    return place / "a.npz"


def shards(place):
    (picture,) = lay_out(place / "pictures", ["0.png"]).iterdir()
    with tarfile.open(place / "a.tar", "w") as opened:
        (place / "0.cls").write_text("3")
        for file in (picture, place / "0.cls"):
            opened.add(file, f"0{file.suffix}")
    return place / "a.tar"


def saved(place):
    images = [Image.new("L", (8, 8), shade) for shade in (1, 2)]
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])}
    rows = {"image": images, "label": [0, 1]}
    made = datasets.Dataset.from_dict(rows, features=datasets.Features(kinds))
    made.save_to_disk(place / "set")
    return place / "set"


@pytest.mark.parametrize(
    ("make", "labels"),
    [(npz, "kind"), (npz, "folders"), (shards, "kind"), (shards, "folders"), (saved, "folders")],
)
def test_other_labels_than_those_that_pictures_bring_are_refused(tmp_path, make, labels):
    """They were ignored: a column where there are none, and folders."""
    place = make(tmp_path)
    folder_data(place, tmp_path).setup()
    with pytest.raises(ZooError, match=rf"labels={labels}: .* itself; use labels=auto"):
        folder_data(place, tmp_path, labels=labels).setup()
