"""Pictures of one's own in every kind of place: zip, .npz, Hugging Face's sets, shards."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
import webdataset
from helpers_data import folder_data, make_folder
from PIL import Image

from zoo.core.errors import ZooError
from zoo.data.sources import arrays, base
from zoo.data.sources.shards import shards_of
from zoo.registry import create

NAMES = ["cat", "dog", "fox"]
SHADES = [0, 30, 60, 90, 120, 150]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "zoo_cache"))


def picture(shade: int, ending: str = "png", channels: int = 3) -> bytes:
    """A picture file of one shade."""
    pixels = np.full((10, 8, 3) if channels == 3 else (10, 8), shade, np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, {"jpg": "jpeg"}.get(ending, ending))
    return file.getvalue()


def seen(data, split: str = "train") -> list[tuple[int, str]]:
    """The shade of each image of a split and its class by name."""
    images, labels = data.split(split)
    names = data.class_names or [""]
    shades = images.float().mean((1, 2, 3)).round().int().tolist()
    return list(zip(shades, [names[y] for y in labels], strict=True))


EXPECTED = [(shade, NAMES[i % 3]) for i, shade in enumerate(SHADES)]
BY_CLASS = sorted(EXPECTED, key=lambda pair: (pair[1], pair[0]))


# Zip files


def write_zip(file: Path, entries: dict[str, bytes | str], kind: int = zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(file, "w", kind) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return file


def zipped(tmp_path: Path, prefix: str = "") -> Path:
    entries = {f"{prefix}{NAMES[i % 3]}/{i}.png": picture(s) for i, s in enumerate(SHADES)}
    entries |= {
        f"{prefix}readme.txt": "hello",
        f"{prefix}.hidden/x.png": b"",
        "__MACOSX/c.png": b"",
    }
    return write_zip(tmp_path / "pets.zip", entries)


@pytest.mark.parametrize("prefix", ["", "pets/", "a/b/"])
def test_a_zip_file_is_read_where_it_lies(tmp_path, prefix):
    data = folder_data(zipped(tmp_path, prefix), tmp_path)
    assert seen(data) == BY_CLASS
    assert data.class_names == NAMES
    assert any("1 file ending in .txt" in note for note in data.notes)
    assert sorted(os.listdir(tmp_path)) == ["cache", "pets.zip"]
    assert seen(folder_data(tmp_path / "pets.zip", tmp_path, labels="none")) == [
        (shade, "") for shade, _ in BY_CLASS
    ]


def test_a_zip_file_and_its_folder_give_the_same_pixels(tmp_path):
    folder = make_folder(tmp_path / "d")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as opened:
        for file in sorted(folder.rglob("*.*")):
            opened.write(file, file.relative_to(folder))
    unpacked, packed = (
        folder_data(place, tmp_path).split("train") for place in (folder, tmp_path / "d.zip")
    )
    assert torch.equal(unpacked[0], packed[0])
    assert torch.equal(unpacked[1], packed[1])


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_of_stylegans_tool(tmp_path, kind):
    names = [f"{i // 4:05}/img{i:08}.png" for i in range(6)]
    labels = {"labels": [[name, i % 3 + 1] for i, name in enumerate(names)]}
    entries = {name: picture(shade) for name, shade in zip(names, SHADES, strict=True)}
    file = write_zip(tmp_path / "a.zip", {**entries, "dataset.json": json.dumps(labels)}, kind)
    data = folder_data(file, tmp_path)
    assert seen(data) == [(shade, str(i % 3 + 1)) for i, shade in enumerate(SHADES)]
    assert data.class_names == ["1", "2", "3"]
    assert data.notes == []


def test_labels_and_splits_in_and_beside_a_zip_file(tmp_path):
    entries = {f"{s}/{c}/{i}.png": picture(9) for s in ("train", "val") for c in "ab" for i in "01"}
    data = folder_data(write_zip(tmp_path / "s.zip", entries), tmp_path)
    assert [data.size(split) for split in ("train", "val", "test")] == [4, 4, 0]
    assert data.class_names == ["a", "b"]
    entries = {"x.png": picture(1), "y.png": picture(2), "l.csv": "x.png,dog\ny.png,cat\n"}
    file = write_zip(tmp_path / "l.zip", entries)
    assert seen(folder_data(file, tmp_path, labels="l.csv")) == [(1, "dog"), (2, "cat")]
    (tmp_path / "o.json").write_text('{"x.png": 4, "y.png": 3}')
    data = folder_data(file, tmp_path, labels=str(tmp_path / "o.json"))
    assert seen(data) == [(1, "4"), (2, "3")]


@pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../../x.png", "C:/x.png"])
def test_names_that_lead_out_of_an_archive_are_refused(tmp_path, name):
    file = write_zip(tmp_path / "bad.zip", {"a.png": picture(0), name: picture(0)})
    with pytest.raises(ZooError, match=r"bad\.zip holds '.*', a name that leads out of it"):
        folder_data(file, tmp_path).setup()


def test_what_claims_to_be_huge_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "MOST_BYTES", 10_000)
    bomb = b"\x89PNG\r\n" + bytes(20_000)
    file = write_zip(tmp_path / "b.zip", {"a.png": picture(7), "b.png": bomb})
    with pytest.raises(ZooError, match=r"b\.zip/b\.png cannot be read .*claims to be 0 MB large"):
        folder_data(file, tmp_path).setup()
    with pytest.warns(UserWarning, match="1 of 2 pictures"):
        assert seen(folder_data(file, tmp_path, on_error="skip")) == [(7, "")]


def test_damaged_zip_files(tmp_path):
    good = zipped(tmp_path).read_bytes()
    for number, (content, reason) in enumerate(
        [
            (b"PK", "cannot be read as a zip file"),
            (good[: len(good) // 2], "cannot be read as a zip file"),
        ]
    ):
        file = tmp_path / f"{number}.zip"
        file.write_bytes(content)
        with pytest.raises(ZooError, match=reason):
            folder_data(file, tmp_path).setup()
    file = write_zip(tmp_path / "c.zip", {"a.png": picture(3)}, zipfile.ZIP_STORED)
    file.write_bytes(file.read_bytes().replace(b"IDAT", b"IDAX", 1))
    with pytest.raises(ZooError, match=r"c\.zip/a\.png cannot be read as a picture \(Bad CRC"):
        folder_data(file, tmp_path).setup()
    with pytest.raises(
        ZooError, match=r"There is no picture in .*e\.zip: none of its 1 files ends in"
    ):
        folder_data(write_zip(tmp_path / "e.zip", {"a.txt": ""}), tmp_path).setup()
    locked = bytearray(write_zip(tmp_path / "p.zip", {"a.png": picture(3)}).read_bytes())
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "p.zip").write_bytes(locked)
    with pytest.raises(ZooError, match=r"p\.zip is encrypted"):
        folder_data(tmp_path / "p.zip", tmp_path).setup()


# .npz


IMAGES = np.stack([np.full((8, 8, 3), shade, np.uint8) for shade in SHADES])
LABELS = np.arange(6) % 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize(
    "made",
    [
        {"images": IMAGES, "labels": LABELS, "class_names": np.array(NAMES)},
        {"images": IMAGES.transpose(0, 3, 1, 2), "labels": np.array(NAMES)[LABELS]},
        {"arr_0": IMAGES[..., 0], "arr_1": np.array(NAMES)[LABELS][:, None]},
    ],
)
def test_an_npz_file_of_any_order(tmp_path, save, made):
    save(tmp_path / "a.npz", **made)
    data = folder_data(tmp_path / "a.npz", tmp_path)
    assert seen(data) == EXPECTED
    assert data.class_names == NAMES
    grey = folder_data(tmp_path / "a.npz", tmp_path, channels=1, image_size=4)
    assert grey.split("train")[0].shape == (6, 1, 4, 4)
    assert seen(grey) == EXPECTED


def test_pixels_of_an_npz_file_stay_what_they_are(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    data = folder_data(tmp_path / "a.npz", tmp_path)
    assert torch.equal(data.split("train")[0], torch.from_numpy(images).permute(0, 3, 1, 2))
    assert data.num_classes == 0


@pytest.mark.parametrize("style", ["{}_images {}_labels", "x_{} y_{}", "images labels"])
def test_splits_of_an_npz_file(tmp_path, style):
    """As MedMNIST calls them, as Keras does, and with those of the training not called so."""
    parts = {"train": 4, "test": 2} | ({} if style.startswith("x") else {"val": 3})
    made = {}
    for split, count in parts.items():
        kept = style if split == "train" or "{}" in style else "{}_images {}_labels"
        images, labels = kept.format(split, split).split()
        made |= {images: np.full((count, 8, 8), count, "u1"), labels: np.arange(count)[:, None] % 2}
    np.savez(tmp_path / "a.npz", **made)
    data = folder_data(tmp_path / "a.npz", tmp_path, channels=1)
    for split, count in parts.items():
        assert seen(data, split) == [(count, str(i % 2)) for i in range(count)]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        ({"weights": IMAGES}, "has no array of images, only weights: name the arrays"),
        (
            {"images": IMAGES.astype("f")},
            r"images is float32 \(6, 8, 8, 3\), but images must be uint8",
        ),
        ({"images": IMAGES[:, :, :, :2]}, r"images is uint8 \(6, 8, 8, 2\)"),
        (
            {"images": IMAGES, "labels": LABELS[:5]},
            r"labels is int64 \(5,\), but labels must be integers",
        ),
        ({"images": IMAGES, "labels": LABELS / 2}, "labels is float64"),
        ({"images": IMAGES, "labels": LABELS, "class_names": np.array(["a"])}, "numbered from 0"),
        ({"images": IMAGES, "labels": np.array([{}] * 6)}, r"cannot be read as a \.npz file"),
        (
            {"train_images": IMAGES, "train_labels": LABELS, "test_images": IMAGES},
            "not for its test_images",
        ),
        ({"images": IMAGES, "train_images": IMAGES}, "images and train_images may both be the tra"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, made, reason):
    np.savez(tmp_path / "a.npz", **made)
    with pytest.raises(ZooError, match=reason):
        folder_data(tmp_path / "a.npz", tmp_path).setup()


def test_an_npz_file_that_claims_more_than_it_holds(tmp_path, monkeypatch):
    def with_header(shape):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"shape": shape, "fortran_order": False, "descr": "|u1"}
        )
        return header.getvalue() + bytes(100)

    file = write_zip(tmp_path / "a.npz", {"images.npy": with_header((10**12, 8, 8, 3))})
    with pytest.raises(ZooError, match="images claims to be"):
        folder_data(file, tmp_path).setup()
    labels = {"images.npy": with_header((0, 8, 8)), "labels.npy": with_header((10**12,))}
    with pytest.raises(ZooError, match="labels claims to be"):
        folder_data(write_zip(tmp_path / "b.npz", labels), tmp_path).setup()
    (tmp_path / "c.npz").write_bytes(b"no zip")
    with pytest.raises(ZooError, match=r"cannot be read as a \.npz file"):
        folder_data(tmp_path / "c.npz", tmp_path).setup()
    monkeypatch.setattr(arrays, "MOST_BYTES", 100)
    np.savez(tmp_path / "d.npz", images=IMAGES, labels=LABELS)
    with pytest.raises(ZooError, match="labels claims to be"):
        folder_data(tmp_path / "d.npz", tmp_path).setup()


# Hugging Face


def hugging_face(indices=range(6), **more):
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES[::-1])}
    )
    rows = {
        "image": [Image.fromarray(IMAGES[i]) for i in indices],
        "label": [2 - int(LABELS[i]) for i in indices],
    }
    return datasets.Dataset.from_dict(rows, features=features)


def test_a_hugging_face_set_on_disk(tmp_path):
    hugging_face().save_to_disk(tmp_path / "one")
    data = folder_data(tmp_path / "one", tmp_path)
    assert seen(data) == EXPECTED
    assert data.class_names == NAMES[::-1]  # in the order of the set, so that indices stay
    parts = {
        "train": hugging_face([0, 1, 2]),
        "validation": hugging_face([3]),
        "extra": hugging_face(),
    }
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "several")
    data = folder_data(tmp_path / "several", tmp_path)
    assert [seen(data, s) for s in ("train", "val", "test")] == [EXPECTED[:3], EXPECTED[3:4], []]
    images = data.split("train")[0]
    hugging_face([5, 4]).save_to_disk(tmp_path / "one")  # another one in its place
    assert seen(folder_data(tmp_path / "one", tmp_path)) == EXPECTED[:3:-1]
    assert torch.equal(images, data.split("train")[0])


def test_a_hugging_face_set_by_name(tmp_path, monkeypatch):
    """A folder takes the place of the Hub, which `datasets` reads by the same call."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    (tmp_path / "own" / "pets").mkdir(parents=True)
    hugging_face().to_parquet(tmp_path / "own/pets/train-00000.parquet")
    monkeypatch.chdir(tmp_path)
    data = create("datamodule", "image_folder", folder="hf:own/pets", image_size=8)
    assert seen(data) == EXPECTED
    assert data.place == "hf:own/pets"
    (tmp_path / "own" / "bad").mkdir()
    with pytest.raises(ZooError, match=r"hf:own/bad cannot be loaded as a Hugging Face data set"):
        create("datamodule", "image_folder", folder="hf:own/bad").setup()


def test_columns_of_a_hugging_face_set(tmp_path):
    made = hugging_face().add_column("maker", ["x", "y"] * 3).add_column("size", [0.5] * 6)
    made.save_to_disk(tmp_path / "d")
    assert folder_data(tmp_path / "d", tmp_path, labels="none").num_classes == 0
    data = folder_data(tmp_path / "d", tmp_path, labels="maker")
    assert seen(data) == [(shade, "xy"[i % 2]) for i, shade in enumerate(SHADES)]
    with pytest.raises(ZooError, match=r"no column 'makr' .*Did you mean 'maker'"):
        folder_data(tmp_path / "d", tmp_path, labels="makr").setup()
    with pytest.raises(ZooError, match=r"the column 'size' has the value 0\.5, but classes are"):
        folder_data(tmp_path / "d", tmp_path, labels="size").setup()
    made.remove_columns("image").save_to_disk(tmp_path / "t")
    with pytest.raises(ZooError, match="no column of images: its columns are label"):
        folder_data(tmp_path / "t", tmp_path).setup()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/state.json").write_text("{")
    with pytest.raises(ZooError, match="broken cannot be loaded as a Hugging Face data set"):
        folder_data(tmp_path / "broken", tmp_path).setup()


# Shards


def write_shards(folder: Path, count: int = 3, each: int = 4, label: str = "cls") -> Path:
    """Shards as the package `webdataset` writes them: image k has the shade k and class k % 3."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(count):
        with webdataset.TarWriter(str(folder / f"{shard:03}.tar")) as sink:
            for k in range(shard * each, (shard + 1) * each):
                labels = {"cls": k % 3, "json": {"label": NAMES[k % 3]}}
                sample = {"__key__": f"{k:06}", "png": picture(k), "txt": "a caption"}
                sink.write(sample | ({label: labels[label]} if label else {}))
    return folder


@pytest.mark.parametrize(("label", "names"), [("cls", ["0", "1", "2"]), ("json", NAMES)])
def test_shards_are_pictures_like_others(tmp_path, label, names):
    folder = write_shards(tmp_path / "s", label=label)
    data = folder_data(folder, tmp_path)
    assert seen(data) == [(k, names[k % 3]) for k in range(12)]
    assert data.class_names == names
    for pattern in ("{000..002}.tar", "{000,001,002}.tar", "00?.tar"):
        assert seen(folder_data(folder / pattern, tmp_path)) == seen(data)
    assert seen(folder_data(folder / "001.tar", tmp_path)) == seen(data)[4:8]
    unlabelled = folder_data(write_shards(tmp_path / "u", label=""), tmp_path)
    assert unlabelled.split("train")[0].shape == (12, 3, 8, 8)


def test_the_package_reads_the_same_from_them(tmp_path):
    folder = write_shards(tmp_path / "s")
    theirs = [
        (int(np.asarray(Image.open(io.BytesIO(sample["png"]))).mean()), sample["cls"].decode())
        for sample in webdataset.WebDataset([str(f) for f in shards_of(folder)], shardshuffle=False)
    ]
    assert seen(folder_data(folder, tmp_path)) == theirs


def test_splits_and_other_files_of_shards(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        write_shards(tmp_path / "s" / split, count)
    data = folder_data(tmp_path / "s", tmp_path)
    assert [data.size(split) for split in ("train", "val", "test")] == [8, 4, 0]
    first = (tmp_path / "zoo_cache").glob("shards-*.json")
    assert len(list(first)) == 1
    assert seen(folder_data(tmp_path / "s", tmp_path)) == seen(data)  # by the kept index


def test_shards_that_are_none(tmp_path):
    folder = write_shards(tmp_path / "s", 2)
    with pytest.raises(ZooError, match=r"The shard .*/s/002\.tar of .* does not exist"):
        folder_data(folder / "{000..002}.tar", tmp_path).setup()
    (folder / "001.tar").write_bytes(b"\x1f\x8bpacked")
    with pytest.raises(ZooError, match=r"001\.tar cannot be read as a tar file .*unpack \.gz"):
        folder_data(folder, tmp_path).setup()
    content = (folder / "000.tar").read_bytes()
    (folder / "001.tar").write_bytes(content[:3000])
    with pytest.raises(ZooError, match="cannot be read"):
        folder_data(folder, tmp_path).setup()
    with webdataset.TarWriter(str(tmp_path / "t.tar")) as sink:
        sink.write({"__key__": "0", "txt": "words"})
    with pytest.raises(ZooError, match="There is no picture in the 1 shards"):
        folder_data(tmp_path / "t.tar", tmp_path).setup()


def test_all_rows_in_order_are_the_mapped_file_itself(tmp_path):
    data = folder_data(zipped(tmp_path), tmp_path)
    first, again = (data.split("train")[0] for _ in range(2))
    assert first.data_ptr() == again.data_ptr()
