"""Folders of pictures: labels, splits, errors, and the cache of decoded pictures."""

from __future__ import annotations

import os
import shutil
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_data import damage, folder_data, make_folder, save, smooth

from zoo.core.errors import ZooError
from zoo.data.finding import find_pictures
from zoo.data.picture_cache import PictureCache
from zoo.data.pictures import decode
from zoo.data.sources.folder import Folder
from zoo.registry import create

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path / "pets")


# Labels and splits


def test_labels_come_from_the_first_level(folder, tmp_path):
    data = folder_data(folder, tmp_path)
    images, labels = data.split("train")
    assert data.class_names == ["cat", "dog"]
    assert data.num_classes == 2
    assert labels.tolist() == [0] * 3 + [1] * 5
    assert images.shape == (8, 3, 8, 8)
    shades = images.float().mean((1, 2, 3))
    assert torch.allclose(shades, torch.arange(8) * 30.0, atol=1)
    assert [len(data.split(split)[0]) for split in ("val", "test")] == [0, 0]


def test_without_labels(folder, tmp_path):
    save(folder / "loose.png", smooth())
    with pytest.raises(ZooError, match=r"loose\.png is in no sub-folder .*labels=none$"):
        folder_data(folder, tmp_path).prepare_data()
    data = folder_data(folder, tmp_path, labels="none", channels=1)
    data.prepare_data()
    assert data.num_classes == 0
    assert data.split("train")[0].shape == (9, 1, 8, 8)


def test_fractions_split_disjoint_and_complete(folder, tmp_path):
    data = folder_data(folder, tmp_path, val_fraction=0.25, test_fraction=0.25, seed=1)
    again = folder_data(folder, tmp_path, val_fraction=0.25, test_fraction=0.25, seed=2)
    parts = [data.split(split) for split in ("train", "val", "test")]
    assert [len(images) for images, _ in parts] == [4, 2, 2]
    shades = torch.cat([images.float().mean((1, 2, 3)) for images, _ in parts])
    assert torch.allclose(shades.sort().values, torch.arange(8) * 30.0, atol=1)
    assert torch.equal(again.split("val")[0], parts[1][0])
    seen = torch.cat([x for x, _ in data.train_dataloader()])
    assert {x.float().mean().round().item() for x in seen} <= {
        x.float().mean().round().item() for x in parts[0][0]
    }


@pytest.mark.parametrize(
    "options", [{"val_fraction": -0.1}, {"val_fraction": 0.5, "test_fraction": 0.5}]
)
def test_fractions_must_leave_a_rest(folder, tmp_path, options):
    with pytest.raises(ZooError, match=r"pictures to train on|0 or more and below 1"):
        folder_data(folder, tmp_path, **options)


def test_hidden_files_and_other_files_are_ignored(folder):
    names = [picture.name for picture in find_pictures(folder)]
    for name in (".DS_Store", "cat/._0.png", ".thumbnails/a.png", "cat/.git/b.png", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    (folder / "cat" / "loop").symlink_to(folder, target_is_directory=True)
    assert [picture.name for picture in find_pictures(folder)] == names
    assert len(names) == 8


def test_folder_is_found_from_here_and_from_data_dir(folder, tmp_path, monkeypatch):
    options = {"cache_dir": str(tmp_path / "cache"), "data_dir": str(tmp_path)}
    assert create("datamodule", "image_folder", folder="pets", **options).place == str(folder)
    assert create("datamodule", "image_folder", data_dir=str(folder)).place == str(folder)
    monkeypatch.chdir(folder)
    assert create("datamodule", "image_folder", folder="cat", **options).place == str(
        folder / "cat"
    )


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(ZooError, match=f"no folder of pictures {tmp_path / 'nowhere'}: name one"):
        folder_data(tmp_path / "nowhere", tmp_path).prepare_data()
    data = folder_data(Path("no/where"), tmp_path, data_dir=str(tmp_path))
    with pytest.raises(ZooError, match=f"pictures no/where, neither here nor in {tmp_path}: name"):
        data.prepare_data()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZooError, match=f"no picture in {tmp_path / 'empty'}"):
        folder_data(tmp_path / "empty", tmp_path).prepare_data()
    without = create("datamodule", "image_folder", data_dir=str(tmp_path / "empty"))
    with pytest.raises(
        ZooError, match=r"needs datamodule.folder=.*in \S+/empty and its sub-folders"
    ):
        without.prepare_data()


def test_channels_other_than_grey_and_rgb(folder, tmp_path):
    with pytest.raises(ZooError, match="channels=4 is not one of 1, 3"):
        folder_data(folder, tmp_path, channels=4)


def test_unreadable_pictures_are_skipped_and_counted(folder, tmp_path):
    damage(folder / "cat/1.jpg", "cut")
    damage(folder / "dog/2.bmp", "text")
    with pytest.raises(ZooError, match=r"cat/1\.jpg cannot be read"):
        folder_data(folder, tmp_path).prepare_data()
    assert not list((tmp_path / "cache").glob("*"))  # nothing half made is left
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match=r"2 of 8 pictures .* the first is cat/1\.jpg"):
            images, labels = folder_data(folder, tmp_path, on_error="skip").split("train")
        assert labels.tolist() == [0, 0, 1, 1, 1, 1]
        expected = torch.tensor([0.0, 60, 90, 120, 180, 210])
        assert torch.allclose(images.float().mean((1, 2, 3)), expected, atol=1)
    with pytest.raises(ZooError, match=r"cat/1\.jpg cannot be read"):
        folder_data(folder, tmp_path).prepare_data()


def test_links_to_nowhere_are_unreadable_pictures(folder, tmp_path):
    (folder / "cat/gone.png").symlink_to("/nowhere.png")
    (folder / "cat/self.png").symlink_to("self.png")
    (folder / "cat/notes").symlink_to("notes")
    with pytest.raises(
        ZooError, match=r"cat/gone\.png cannot be read .* datamodule\.on_error=skip"
    ):
        folder_data(folder, tmp_path).prepare_data()
    with pytest.warns(UserWarning, match=r"2 of 10 pictures .* the first is cat/gone\.png"):
        images, _ = folder_data(folder, tmp_path, on_error="skip").split("train")
    assert len(images) == 8


def test_unreadable_folders_are_left_out_like_unreadable_pictures(folder, tmp_path, monkeypatch):
    """Root reads folders of any mode; a path too long for the system stops everybody."""
    monkeypatch.chdir(folder / "cat/deep")
    for _ in range(17):
        os.mkdir("a" * 250)
        os.chdir("a" * 250)
    with pytest.raises(
        ZooError, match=r"cat/deep/aa.*/ cannot be read .* datamodule\.on_error=skip"
    ):
        folder_data(folder, tmp_path).prepare_data()
    with pytest.warns(UserWarning, match=r"1 of 9 pictures .* the first is cat/deep/aa.*/\."):
        images, _ = folder_data(folder, tmp_path, on_error="skip").split("train")
    assert len(images) == 8


def test_all_pictures_unreadable(folder, tmp_path):
    for picture in find_pictures(folder):
        damage(folder / picture.name, "text")
    with pytest.raises(ZooError, match="None of the 8 pictures"):
        folder_data(folder, tmp_path, on_error="skip").prepare_data()


# The cache


def cached(tmp_path: Path) -> dict[str, int]:
    """The files of the cache and their identities on the disk, new after every writing."""
    return {file.name: file.stat().st_ino for file in (tmp_path / "cache").glob("*.npy")}


def test_second_run_reads_the_cache(folder, tmp_path):
    first = folder_data(folder, tmp_path).split("train")[0]
    before = cached(tmp_path)
    assert len(before) == 1
    # Were a picture decoded again, its new content would show: same name, size and time.
    file = folder / "cat/0.png"
    stat, content = file.stat(), file.read_bytes()
    file.write_bytes(b"\0" * len(content))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = folder_data(folder, tmp_path).split("train")[0]
    assert torch.equal(first, second)
    assert cached(tmp_path) == before


def change_content(folder: Path) -> None:
    save(folder / "cat/0.png", smooth())


def change_time(folder: Path) -> None:
    file = folder / "cat/0.png"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000))


def add_picture(folder: Path) -> None:
    save(folder / "cat/new.png", smooth())


def remove_picture(folder: Path) -> None:
    (folder / "cat/0.png").unlink()


def rename_picture(folder: Path) -> None:
    (folder / "cat/0.png").rename(folder / "dog/0.png")


@pytest.mark.parametrize(
    "change", [change_content, change_time, add_picture, remove_picture, rename_picture]
)
def test_changed_folder_is_decoded_again(folder, tmp_path, change):
    folder_data(folder, tmp_path).prepare_data()
    before = cached(tmp_path)
    change(folder)
    images = folder_data(folder, tmp_path).split("train")[0]
    after = cached(tmp_path)
    assert len(after) == 1  # the outdated one is gone
    assert set(before) != set(after)
    expected = [decode(folder / p.name, 8, 3) for p in find_pictures(folder)]
    assert torch.equal(images, torch.stack(expected))


def test_sizes_and_channels_have_caches_of_their_own(folder, tmp_path):
    folder_data(folder, tmp_path).prepare_data()
    folder_data(folder, tmp_path, image_size=12).prepare_data()
    folder_data(folder, tmp_path, channels=1).prepare_data()
    before = cached(tmp_path)
    assert len(before) == 3
    folder_data(folder, tmp_path).prepare_data()
    assert cached(tmp_path) == before


def test_writing_to_the_images_does_not_reach_the_cache(folder, tmp_path):
    cache, found = PictureCache(tmp_path / "cache"), Folder(folder)
    images, rows, scale = cache.load(found, 8, 3)
    assert scale is None
    assert rows == list(range(8))
    before = images.clone()
    images.zero_()
    assert torch.equal(cache.load(found, 8, 3)[0], before)


def test_folder_larger_than_the_limit_is_refused(folder, tmp_path):
    with pytest.raises(ZooError, match=r"more than the limit .* raise datamodule.cache_limit_gb"):
        folder_data(folder, tmp_path, cache_limit_gb=8 * 3 * 64 / 1e9 / 2).prepare_data()
    folder_data(folder, tmp_path, cache_limit_gb=8 * 3 * 64 / 1e9).prepare_data()


def test_longest_unused_cache_makes_room(folder, tmp_path):
    one = 8 * 3 * 8 * 8 + 128  # with the header of the file
    cache = PictureCache(tmp_path / "cache", limit_gb=2 * one / 1e9)
    others = {}
    for name in ("a", "b"):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        cache.load(Folder(copy), 8, 3)
        (new,) = set(cached(tmp_path)) - set(others.values())
        others[name] = new
    now = time.time()
    os.utime(tmp_path / "cache" / others["a"], (now - 100, now - 100))
    os.utime(tmp_path / "cache" / others["b"], (now - 200, now - 200))
    cache.load(Folder(folder), 8, 3)
    left = set(cached(tmp_path))
    assert others["a"] in left
    assert others["b"] not in left
    assert len(left) == 2


def test_files_of_others_in_the_cache_folder_are_left_alone(folder, tmp_path):
    (tmp_path / "cache").mkdir()
    others = ["mine.npy", "mine.json", "mine.tmp", "0123456789ab-8x3-notes.npy"]
    for name in others:
        (tmp_path / "cache" / name).write_bytes(b"0" * 4000)
        os.utime(tmp_path / "cache" / name, (0, 0))
    abandoned = tmp_path / "cache" / f"{'0' * 12}-8x3-{'a' * 20}k_3kx0ab.tmp"
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    folder_data(folder, tmp_path, cache_limit_gb=8 * 3 * 64 / 1e9).prepare_data()
    assert all((tmp_path / "cache" / name).stat().st_size == 4000 for name in others)
    assert not abandoned.exists()


def test_file_that_another_process_takes_away_meanwhile(folder, tmp_path):
    """A link to nowhere: listed, and not there when it is looked at."""
    (tmp_path / "cache").mkdir()
    name = f"{'0' * 12}-8x3-{'a' * 20}"
    for gone in (f"{name}.npy", f"{name}k_3kx0ab.tmp"):
        (tmp_path / "cache" / gone).symlink_to("nowhere")
    folder_data(folder, tmp_path).prepare_data()


def test_cache_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(ZooError, match=f"{tmp_path / 'cache'} cannot be written .*cache_dir="):
        folder_data(folder, tmp_path).prepare_data()


def test_damaged_cache_entry_is_made_again(folder, tmp_path):
    data = folder_data(folder, tmp_path).split("train")[0].clone()
    (note,) = (tmp_path / "cache").glob("*.json")
    note.write_text("{half")
    assert torch.equal(folder_data(folder, tmp_path).split("train")[0], data)


def test_several_at_once(folder, tmp_path):
    """Each with a cache of its own, as processes have them: they meet in the files only."""
    found = Folder(folder)
    start = threading.Barrier(6)

    def load(_: int) -> torch.Tensor:
        cache = PictureCache(tmp_path / "cache")
        start.wait()
        return cache.load(found, 8, 3)[0]

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(load, range(6)))
    expected = torch.stack([decode(folder / picture.name, 8, 3) for picture in found.pictures])
    assert all(torch.equal(images, expected) for images in results)
    assert len(cached(tmp_path)) == 1
    assert not list((tmp_path / "cache").glob("*.tmp"))


# CelebA, which is read the same way


@pytest.fixture
def celeba(tmp_path) -> Path:
    folder = tmp_path / "celeba"
    for number in range(6):
        shade = np.full((218, 178, 3), 40 * number, np.uint8)
        save(folder / f"img_align_celeba/{number:06}.jpg", shade)
    parts = "001122"
    lines = [f"{number:06}.jpg {part}" for number, part in enumerate(parts)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{number:06}.jpg  {1 if number % 2 else -1} -1" for number in range(6)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(["6", "Smiling Young", *rows]))
    return tmp_path


def test_celeba_has_its_authors_split(celeba, tmp_path):
    options = {"data_dir": str(celeba), "cache_dir": str(tmp_path / "cache"), "image_size": 16}
    data = create("datamodule", "celeba", attribute="Smiling", **options)
    data.prepare_data()
    assert data.class_names == ["not Smiling", "Smiling"]
    for split, first in (("train", 0), ("val", 2), ("test", 4)):
        images, labels = data.split(split)
        assert images.shape == (2, 3, 16, 16)
        assert labels.tolist() == [0, 1]
        expected = torch.tensor([first, first + 1]) * 40.0
        assert torch.allclose(images.float().mean((1, 2, 3)), expected, atol=1)
    assert create("datamodule", "celeba", **options).num_classes == 0
    with pytest.raises(ZooError, match=r"no attribute 'Smilling'. Did you mean 'Smiling'\?"):
        create("datamodule", "celeba", attribute="Smilling", **options).setup()


def test_celeba_that_is_not_there(tmp_path):
    with pytest.raises(ZooError, match=rf"{tmp_path}/celeba/img_align_celeba does not exist"):
        create("datamodule", "celeba", data_dir=str(tmp_path)).setup()
