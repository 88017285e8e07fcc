"""Folders of pictures: every mode and size, labels, errors, and the cache of decoded pictures."""

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
from PIL import Image

from zoo.data import pictures
from zoo.data.picture_cache import PictureCache
from zoo.data.pictures import decode, decode_into, find_pictures
from zoo.data.pixels import resize
from zoo.errors import ZooError
from zoo.registry import create

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding and encoding:DeprecationWarning")


def smooth(height: int = 24, width: int = 24) -> np.ndarray:
    """A picture (H, W, 3) whose channels run from left to right, top to bottom and back."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x // (width - 1), 255 * y // (height - 1)
    return np.stack([red, green, 255 - red], axis=-1).astype(np.uint8)


def grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L"))


def pixels(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(1, 2, 0).numpy().astype(int)


def save(path: Path, picture: np.ndarray | Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three cats and five dogs at several depths and in several formats, each of one colour."""
    root = tmp_path / "pets"
    names = ["cat/0.png", "cat/1.jpg", "cat/deep/er/2.PNG", "dog/0.jpg", "dog/1.jpeg"]
    names += ["dog/2.bmp", "dog/Zürich 1.webp", "dog/x/3.tif"]
    for number, name in enumerate(names):
        save(root / name, np.full((16 + number, 20, 3), 30 * number, np.uint8))
    return root


def data_of(folder: Path, tmp_path: Path, **options):
    options = {"image_size": 8, "cache_dir": str(tmp_path / "cache")} | options
    return create("datamodule", "image_folder", folder=str(folder), **options)


# Decoding


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode(tmp_path, mode, channels):
    picture = smooth()
    expected = picture
    if mode == "1":
        picture = ((smooth()[..., :1] > 127) * np.uint8(255)).repeat(3, axis=-1)
        image = Image.fromarray(picture).convert("1", dither=Image.Dither.NONE)
        expected = picture
    elif mode == "I;16":
        image = Image.fromarray(grey(picture).astype(np.uint16) * 256 + 17)
    elif mode in ("L", "LA", "F"):
        image = Image.fromarray(picture).convert("L").convert(mode)
    elif mode == "P":
        picture = picture // 64 * 64
        image = Image.fromarray(picture).quantize(256)
        expected = picture
    else:
        image = Image.fromarray(picture).convert(mode)
    if mode in ("L", "LA", "F", "I;16"):
        expected = grey(picture)[..., None].repeat(3, axis=-1)
    # TIFF is lossless and holds all of these; going through YCbCr costs a few levels.
    read = pixels(decode(save(tmp_path / "picture.tif", image), 24, channels))
    assert image.mode == mode
    assert read.shape == (24, 24, channels)
    if channels == 1:
        expected = grey(np.ascontiguousarray(expected))[..., None]
    assert np.abs(read - expected).max() <= (4 if mode == "YCbCr" else 1)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_modes(tmp_path, mode, channels):
    file = save(tmp_path / "picture.jpg", Image.fromarray(smooth()).convert(mode), quality=98)
    with Image.open(file) as opened:
        assert opened.mode == mode
        expected = np.asarray(opened.convert("L" if channels == 1 else "RGB")).astype(int)
    assert np.abs(pixels(decode(file, 24, channels)) - expected.reshape(24, 24, -1)).max() <= 2


@pytest.mark.parametrize("sixteen", [np.uint16, np.int32])
def test_sixteen_bits_keep_their_upper_byte(tmp_path, sixteen):
    values = (np.arange(24 * 24).reshape(24, 24) * 113 % 65536).astype(sixteen)
    file = save(tmp_path / "deep.tif", values)
    assert np.array_equal(pixels(decode(file, 24, 1))[..., 0], values // 256)


def test_transparency_is_put_on_white(tmp_path):
    picture = np.zeros((8, 8, 4), np.uint8)
    picture[:, :4] = (200, 0, 0, 255)
    picture[:, 4:] = (7, 7, 7, 0)  # invisible: its colour must not show
    read = pixels(decode(save(tmp_path / "a.png", picture), 8, 3))
    assert (read[:, :4] == (200, 0, 0)).all()
    assert (read[:, 4:] == 255).all()
    half = np.full((8, 8, 4), (0, 0, 0, 128), np.uint8)
    assert np.abs(pixels(decode(save(tmp_path / "half.png", half), 8, 3)) - 127).max() <= 1

    indices = np.repeat([[0, 1]], 4, axis=0).repeat(2, axis=1).astype(np.uint8)
    palette = Image.fromarray(indices).convert("P")
    palette.putpalette([9, 9, 9, 0, 200, 0])
    file = save(tmp_path / "b.png", palette, transparency=0)
    read = pixels(decode(file, 4, 3))
    assert (read[:, :2] == 255).all()
    assert (read[:, 2:] == (0, 200, 0)).all()


def test_centre_is_cropped_and_resized(tmp_path):
    wide = smooth(20, 50)
    read = decode(save(tmp_path / "wide.png", wide), 10, 3)
    middle = torch.from_numpy(wide[:, 15:35]).permute(2, 0, 1).unsqueeze(0)
    assert torch.equal(read, resize(middle, 10)[0])
    tall = save(tmp_path / "tall.png", np.rot90(wide).copy())
    assert torch.equal(decode(tall, 10, 3), resize(middle.rot90(1, (2, 3)), 10)[0])


@pytest.mark.parametrize("size", [40, 900])  # small: decoded by torchvision, large: by Pillow
def test_exif_orientation_turns_pictures_upright(tmp_path, size):
    noise = np.random.default_rng(0).integers(0, 60, (size, size, 1), np.uint8)
    picture = smooth(size, size) // 2 + noise
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    plain = save(tmp_path / "plain.jpg", picture, quality=95)
    turned = save(tmp_path / "turned.jpg", picture, quality=95, exif=exif)
    assert (plain.stat().st_size > 64 * 1024) == (size == 900)
    upright, sideways = decode(turned, 16, 3).int(), decode(plain, 16, 3).int()
    assert (upright - sideways.rot90(-1, (1, 2))).abs().max() <= 2


def test_large_jpegs_decoded_at_reduced_scale_look_the_same(tmp_path):
    noise = np.random.default_rng(0).integers(0, 60, (1200, 1200, 1), np.uint8)
    file = save(tmp_path / "large.jpg", smooth(1200, 1200) // 2 + noise, quality=95)
    with Image.open(file) as opened:
        whole = torch.from_numpy(np.array(opened)).permute(2, 0, 1).unsqueeze(0)
    assert (decode(file, 32, 3).int() - resize(whole, 32)[0].int()).abs().max() <= 3


def test_first_picture_of_an_animation(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in (40, 200)]
    file = save(tmp_path / "moving.gif", frames[0], save_all=True, append_images=frames[1:])
    assert (decode(file, 8, 1) == 40).all()


def test_without_torchvisions_decoder(tmp_path, monkeypatch):
    """Torchvision announced its removal; Pillow reads the same pictures then."""
    files = [save(tmp_path / f"{n}.jpg", np.roll(smooth(), n, 0), quality=95) for n in range(3)]
    both = []
    for decoder in (pictures.decode_jpeg, None):
        monkeypatch.setattr(pictures, "decode_jpeg", decoder)
        out = torch.zeros(3, 3, 24, 24, dtype=torch.uint8)
        assert decode_into(out, [str(file) for file in files]) == [None] * 3
        both.append(out.int())
    assert (both[0] - both[1]).abs().max() <= 2


def test_content_counts_not_the_name(tmp_path):
    file = save(tmp_path / "really_a_png.jpg", smooth(), format="PNG")
    assert np.array_equal(pixels(decode(file, 24, 3)), smooth())


def test_decoding_together_equals_decoding_one_by_one(folder):
    same = sorted(folder.glob("dog/*.jp*g"))
    mixed = [folder / picture.name for picture in find_pictures(folder)]
    for files in (same, mixed):
        out = torch.zeros(len(files), 3, 8, 8, dtype=torch.uint8)
        assert decode_into(out, [str(file) for file in files]) == [None] * len(files)
        assert torch.equal(out, torch.stack([decode(file, 8, 3) for file in files]))


def damage(file: Path, kind: str) -> None:
    content = file.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "text": b"hello"}[kind])


@pytest.mark.parametrize("kind", ["cut", "empty", "text"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tif"])
def test_unreadable_picture_is_named_in_one_sentence(tmp_path, kind, suffix):
    file = save(tmp_path / f"bad.{suffix}", smooth(40, 40))
    damage(file, kind)
    with pytest.raises(ZooError) as caught:
        decode(file, 8, 3)
    assert str(caught.value).startswith(f"{file} cannot be read as a picture (")
    assert "on_error=skip" in str(caught.value)
    assert "\n" not in str(caught.value)


# Labels and splits


def test_labels_come_from_the_first_level(folder, tmp_path):
    data = data_of(folder, tmp_path)
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
    with pytest.raises(ZooError, match=r"loose\.png lies in no sub-folder .*labels=none"):
        data_of(folder, tmp_path).prepare_data()
    data = data_of(folder, tmp_path, labels="none", channels=1)
    data.prepare_data()
    assert data.num_classes == 0
    assert data.split("train")[0].shape == (9, 1, 8, 8)


def test_fractions_split_disjoint_and_complete(folder, tmp_path):
    data = data_of(folder, tmp_path, val_fraction=0.25, test_fraction=0.25, seed=1)
    again = data_of(folder, tmp_path, val_fraction=0.25, test_fraction=0.25, seed=2)
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
    with pytest.raises(ZooError, match="leave a rest"):
        data_of(folder, tmp_path, **options)


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
    assert create("datamodule", "image_folder", folder="pets", **options).root == folder
    assert create("datamodule", "image_folder", data_dir=str(folder)).root == folder
    monkeypatch.chdir(folder)
    assert create("datamodule", "image_folder", folder="cat", **options).root == folder / "cat"


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(ZooError, match=f"no folder of pictures {tmp_path / 'nowhere'}"):
        data_of(tmp_path / "nowhere", tmp_path).prepare_data()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ZooError, match=f"no picture in {tmp_path / 'empty'}"):
        data_of(tmp_path / "empty", tmp_path).prepare_data()


def test_channels_other_than_grey_and_rgb(folder, tmp_path):
    with pytest.raises(ZooError, match="channels=4 must be 1 or 3"):
        data_of(folder, tmp_path, channels=4)


def test_unreadable_pictures_are_skipped_and_counted(folder, tmp_path):
    damage(folder / "cat/1.jpg", "cut")
    damage(folder / "dog/2.bmp", "text")
    with pytest.raises(ZooError, match=r"cat/1\.jpg cannot be read"):
        data_of(folder, tmp_path).prepare_data()
    assert not list((tmp_path / "cache").glob("*"))  # nothing half made is left
    for _ in range(2):  # decoded, then from the cache
        with pytest.warns(UserWarning, match=r"2 of 8 pictures .* the first is cat/1\.jpg"):
            images, labels = data_of(folder, tmp_path, on_error="skip").split("train")
        assert labels.tolist() == [0, 0, 1, 1, 1, 1]
        expected = torch.tensor([0.0, 60, 90, 120, 180, 210])
        assert torch.allclose(images.float().mean((1, 2, 3)), expected, atol=1)
    with pytest.raises(ZooError, match=r"cat/1\.jpg cannot be read"):
        data_of(folder, tmp_path).prepare_data()


def test_all_pictures_unreadable(folder, tmp_path):
    for picture in find_pictures(folder):
        damage(folder / picture.name, "text")
    with pytest.raises(ZooError, match="None of the 8 pictures"):
        data_of(folder, tmp_path, on_error="skip").prepare_data()


# The cache


def cached(tmp_path: Path) -> dict[str, int]:
    """The files of the cache and their identities on the disk, new after every writing."""
    return {file.name: file.stat().st_ino for file in (tmp_path / "cache").glob("*.npy")}


def test_second_run_reads_the_cache(folder, tmp_path):
    first = data_of(folder, tmp_path).split("train")[0]
    before = cached(tmp_path)
    assert len(before) == 1
    # Were a picture decoded again, its new content would show: same name, size and time.
    file = folder / "cat/0.png"
    stat, content = file.stat(), file.read_bytes()
    file.write_bytes(b"\0" * len(content))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = data_of(folder, tmp_path).split("train")[0]
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
    data_of(folder, tmp_path).prepare_data()
    before = cached(tmp_path)
    change(folder)
    images = data_of(folder, tmp_path).split("train")[0]
    after = cached(tmp_path)
    assert len(after) == 1  # the outdated one is gone
    assert set(before) != set(after)
    expected = [decode(folder / p.name, 8, 3) for p in find_pictures(folder)]
    assert torch.equal(images, torch.stack(expected))


def test_sizes_and_channels_have_caches_of_their_own(folder, tmp_path):
    data_of(folder, tmp_path).prepare_data()
    data_of(folder, tmp_path, image_size=12).prepare_data()
    data_of(folder, tmp_path, channels=1).prepare_data()
    before = cached(tmp_path)
    assert len(before) == 3
    data_of(folder, tmp_path).prepare_data()
    assert cached(tmp_path) == before


def test_writing_to_the_images_does_not_reach_the_cache(folder, tmp_path):
    cache, found = PictureCache(tmp_path / "cache"), find_pictures(folder)
    images, rows = cache.load(folder, found, 8, 3)
    assert rows == list(range(8))
    before = images.clone()
    images.zero_()
    assert torch.equal(cache.load(folder, found, 8, 3)[0], before)


def test_folder_larger_than_the_limit_is_refused(folder, tmp_path):
    with pytest.raises(ZooError, match=r"more than the limit .* raise datamodule.cache_limit_gb"):
        data_of(folder, tmp_path, cache_limit_gb=8 * 3 * 64 / 1e9 / 2).prepare_data()
    data_of(folder, tmp_path, cache_limit_gb=8 * 3 * 64 / 1e9).prepare_data()


def test_longest_unused_cache_makes_room(folder, tmp_path):
    one = 8 * 3 * 8 * 8 + 128  # with the header of the file
    cache = PictureCache(tmp_path / "cache", limit_gb=2 * one / 1e9)
    others = {}
    for name in ("a", "b"):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        cache.load(copy, find_pictures(copy), 8, 3)
        (new,) = set(cached(tmp_path)) - set(others.values())
        others[name] = new
    now = time.time()
    os.utime(tmp_path / "cache" / others["a"], (now - 100, now - 100))
    os.utime(tmp_path / "cache" / others["b"], (now - 200, now - 200))
    cache.load(folder, find_pictures(folder), 8, 3)
    left = set(cached(tmp_path))
    assert others["a"] in left
    assert others["b"] not in left
    assert len(left) == 2


def test_cache_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "cache").write_text("a file in its place")
    with pytest.raises(ZooError, match=f"{tmp_path / 'cache'} cannot be written .*cache_dir="):
        data_of(folder, tmp_path).prepare_data()


def test_damaged_cache_entry_is_made_again(folder, tmp_path):
    data = data_of(folder, tmp_path).split("train")[0].clone()
    (note,) = (tmp_path / "cache").glob("*.json")
    note.write_text("{half")
    assert torch.equal(data_of(folder, tmp_path).split("train")[0], data)


def test_several_at_once(folder, tmp_path):
    """Each with a cache of its own, as processes have them: they meet in the files only."""
    found = find_pictures(folder)
    start = threading.Barrier(6)

    def load(_: int) -> torch.Tensor:
        cache = PictureCache(tmp_path / "cache")
        start.wait()
        return cache.load(folder, found, 8, 3)[0]

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(load, range(6)))
    expected = torch.stack([decode(folder / picture.name, 8, 3) for picture in found])
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
