"""Places whose names hold splits or shards, and shards that stop before their end."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.core.errors import ZooError, ZooWarning
from zoo.registry import create

BLOCK = tarfile.BLOCKSIZE


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(file, "png")
    return file.getvalue()


def shard(file: Path, labels: bool = True) -> list[int]:
    """Four pictures of two classes; where each file's header begins, and where the end does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    endings = ("png", "cls") if labels else ("png",)
    with tarfile.open(file, "w") as opened:
        for k in range(4):
            for ending in endings:
                content = png(k) if ending == "png" else str(k % 2).encode()
                member = tarfile.TarInfo(f"{k:04}.{ending}")
                member.size = len(content)
                opened.addfile(member, io.BytesIO(content))
    with tarfile.open(file) as opened:
        return [*(member.offset for member in opened), opened.offset]


def of(folder: Path, name: str = "image_folder", **options):
    return create("datamodule", name, folder=str(folder), image_size=8, **options)


@pytest.mark.parametrize("name", ["image_folder", "webdataset"])
def test_shards_without_labels_are_no_classes(tmp_path, name):
    for file in ("a.tar", "b.tar"):
        shard(tmp_path / "s" / file, labels=False)
    data = of(tmp_path / "s", name)
    data.setup()
    assert data.size("train") == 8
    assert data.class_names == []
    assert "have no labels" in data.notes[0]


def test_shards_are_no_folders_of_classes(tmp_path):
    shard(tmp_path / "a.tar", labels=False)
    with pytest.raises(ZooError, match=r"labels=folders: .* has no class folders"):
        of(tmp_path / "a.tar", labels="folders").setup()


def test_splits_of_arrays_and_saved_sets_are_no_classes(tmp_path):
    pixels = np.zeros((3, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "x.npz", test_images=pixels)  # and no part called train beside it
    datasets = pytest.importorskip("datasets")
    images = datasets.Features({"image": datasets.Image()})
    rows = {"image": [Image.fromarray(p) for p in pixels]}
    saved = datasets.Dataset.from_dict(rows, features=images)
    datasets.DatasetDict({"full": saved}).save_to_disk(tmp_path / "saved")
    for place in ("x.npz", "saved"):
        data = of(tmp_path / place)
        data.setup()
        assert (data.size("train"), data.class_names) == (3, [])


@pytest.mark.parametrize("name", ["image_folder", "webdataset"])
@pytest.mark.parametrize("beyond", [1, 300, BLOCK - 1])
def test_a_shard_cut_within_the_header_of_a_file_is_refused(tmp_path, name, beyond):
    file = tmp_path / "a.tar"
    headers = shard(file)
    file.write_bytes(file.read_bytes()[: headers[4] + beyond])
    with pytest.raises(ZooError, match=r"a\.tar cannot be read as a tar file .*end of data at"):
        of(file, name).setup()


def test_a_shard_with_a_damaged_header_is_refused(tmp_path):
    file = tmp_path / "a.tar"
    at = shard(file)[4]
    content = bytearray(file.read_bytes())
    content[at : at + 4] = b"\xff" * 4  # its checksum is another now
    file.write_bytes(content)
    with pytest.raises(ZooError, match=rf"cannot be read as a tar file \(damaged at byte {at:,}\)"):
        of(file).setup()


def test_a_shard_without_an_end_is_taken_with_a_warning(tmp_path):
    file = tmp_path / "a.tar"
    end = shard(file)[-1]
    file.write_bytes(file.read_bytes()[:end])
    data = of(file)
    with pytest.warns(ZooWarning, match=r"a\.tar has no end-of-archive marker"):
        data.setup()
    assert (data.size("train"), data.class_names) == (4, ["0", "1"])
