"""Shards read while training: resumed at any image, split over processes, pixels as they are."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from zoo.core.errors import ZooError
from zoo.data.stream import WindowSampler
from zoo.registry import create

COUNTS = [5, 3, 6, 4, 2, 4]
"""Images of each shard."""
SHARD_OF = [shard for shard, count in enumerate(COUNTS) for _ in range(count)]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def shards(tmp_path) -> Path:
    """Image k has the shade 10 k, a bright left half, and the class k % 3."""
    folder, k = tmp_path / "shards", 0
    folder.mkdir()
    for shard, count in enumerate(COUNTS):
        with webdataset.TarWriter(str(folder / f"{shard:03}.tar")) as sink:
            for _ in range(count):
                sink.write({"__key__": f"{k:06}", "png": png(10 * k), "cls": k % 3})
                k += 1
    return folder


def png(shade: int) -> bytes:
    file = io.BytesIO()
    pixels = np.full((8, 8, 3), shade, np.uint8)
    pixels[:, :4] += 5
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def of(folder: Path, **options):
    options = {"image_size": 8, "batch_size": 4, "window": 4, "seed": 3} | options
    return create("datamodule", "webdataset", folder=str(folder), **options)


def batches(data, count: int, position: int = 0, rank: int = 0, world_size: int = 1):
    """Numbers of the images, labels and mirrored ones of so many batches."""
    loader = data.train_dataloader()
    loader.position = position
    loader.sampler.rank, loader.rank = rank, rank
    loader.sampler.world_size, loader.world_size = world_size, world_size
    found = [loader._batch(position + i * loader.batch_size * loader.steps) for i in range(count)]
    images = torch.cat([batch[0] for batch in found])
    numbers = images.amin((1, 2, 3)) // 10
    mirrored = images[:, 0, 0, 0] < images[:, 0, 0, -1]
    return numbers.tolist(), torch.cat([batch[1] for batch in found]).tolist(), mirrored.tolist()


def test_every_image_once_a_pass_with_its_class(shards):
    data = of(shards)
    numbers, labels, mirrored = batches(data, 12)
    assert sorted(numbers[:24]) == list(range(24))
    assert sorted(numbers[24:]) == list(range(24))
    assert numbers[:24] != numbers[24:]
    assert labels == [k % 3 for k in numbers]
    assert 10 < sum(mirrored) < 38
    assert not any(batches(of(shards, flip=False), 6)[2])
    assert data.size("train") == len(data.train_dataloader()) * 4 == 24
    assert data.class_names == ["0", "1", "2"]


@pytest.mark.parametrize("position", [4, 8, 12, 24, 28, 40])
@pytest.mark.parametrize("window", [1, 5, 100])
def test_resumed_anywhere_it_goes_on_as_if_it_had_not_stopped(shards, position, window):
    whole = batches(of(shards, window=window), 14)
    again = of(shards, window=window)
    again.load_state_dict({"images_seen": position})
    loader = again.train_dataloader()
    assert loader.position == position
    rest = batches(again, 14 - position // 4, position)
    assert rest == tuple(column[position:] for column in whole)


def test_an_iteration_counts_on_over_epochs(shards):
    data = of(shards, batch_size=5)
    loader = data.train_dataloader()
    found = [batch[0] for _ in range(3) for batch in loader]
    assert [len(batch) for batch in found] == [5] * 12
    assert loader.position == 60
    again = of(shards, batch_size=5).train_dataloader()
    again.position = 25
    assert torch.equal(next(iter(again))[0], found[5])


def test_two_processes_read_shards_of_their_own(shards):
    first, second = (WindowSampler(groups(), 3, 4, rank, 2) for rank in range(2))
    for number in range(4):
        own, other = first.shards(number), second.shards(number)
        assert sorted(own + other) == list(range(6))
        assert len(own) == len(other) == 3
    numbers = [batches(of(shards), 10, rank=rank, world_size=2)[0] for rank in range(2)]
    for rank, sampler in enumerate((first, second)):
        pass_of_rank = sum(COUNTS[shard] for shard in sampler.shards(0))
        assert {SHARD_OF[k] for k in numbers[rank][:pass_of_rank]} == set(sampler.shards(0))
    whole, rest = (batches(of(shards), n, p, 1, 2) for n, p in ((10, 0), (6, 16)))
    assert rest == tuple(column[8:] for column in whole)


def groups() -> list[torch.Tensor]:
    ends = torch.tensor([0, *COUNTS]).cumsum(0).tolist()
    return [torch.arange(a, b) for a, b in itertools.pairwise(ends)]


def test_more_processes_than_shards(shards):
    with pytest.raises(ZooError, match=r"There are 6 shards .* each of 7 processes"):
        WindowSampler(groups(), 0, 4, 0, 7)
    with pytest.raises(ZooError, match="window=0 must be 1 or more"):
        of(shards, window=0)


def test_several_updates_and_steps_in_one_batch(shards):
    data = of(shards)
    data.images_per_step = 12
    assert batches(data, 2) == batches(of(shards), 6)


def test_pictures_that_cannot_be_read(shards):
    for file in (shards / "000.tar", shards / "002.tar"):
        file.write_bytes(file.read_bytes().replace(b"IDAT", b"IDAX", 1))
    with pytest.raises(
        ZooError,
        match=r"00[02]\.tar/00000[08]\.png cannot be read as a picture \(it has no known format\)",
    ):
        batches(of(shards), 12)
    numbers, labels, _ = batches(of(shards, on_error="skip"), 12)
    assert not {0, 8} & set(numbers)
    assert len(numbers) == 48
    assert labels == [k % 3 for k in numbers]
    with pytest.raises(ZooError, match="None of 1 pictures in a row can be read"):
        batches(of(shards, on_error="skip", window=1), 12)


def test_what_is_measured_against_comes_from_the_cache(tmp_path, shards):
    (shards / "val").mkdir()
    (shards / "train").mkdir()
    for shard in range(6):
        folder = "val" if shard == 5 else "train"
        (shards / f"{shard:03}.tar").rename(shards / folder / f"{shard:03}.tar")
    data = of(shards)
    assert [data.size(s) for s in ("train", "val", "test")] == [20, 4, 0]
    images, labels = data.split("val")
    assert (images.amin((1, 2, 3)) // 10).tolist() == [20, 21, 22, 23]
    assert labels.tolist() == [2, 0, 1, 2]
    assert data.split("test")[0].shape == (0, 3, 8, 8)
    assert len(list(data.val_dataloader())) == 1
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1
    assert len(data.split("train")[0]) == 20
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2
    assert set(batches(data, 5)[0]) == set(range(20))


def deep_png(value: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint16)).save(file, "png")
    return file.getvalue()


def shard(file: Path, *pictures: bytes) -> Path:
    with webdataset.TarWriter(str(file)) as sink:
        for key, picture in enumerate(pictures):
            sink.write({"__key__": str(key), "png": picture})
    return file


def test_deep_pictures_need_a_range(tmp_path):
    place = shard(tmp_path / "a.tar", deep_png(1000))
    with pytest.raises(ZooError, match=r"more than 8 bits.*value_range=\[0,65535\]$"):
        of(place).setup()
    data = of(place, channels=1, value_range=[0, 2000], batch_size=1)
    assert next(iter(data.train_dataloader()))[0].unique().item() in (127, 128)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_deep_picture_behind_others_is_refused_when_it_is_read(tmp_path, on_error):
    """It would be scaled from its own range, and not as another one with the same values is."""
    place = shard(tmp_path / "a.tar", png(10), deep_png(1000), png(20))
    data = of(place, channels=1, batch_size=1, on_error=on_error)
    data.setup()
    with pytest.raises(ZooError, match=r"a\.tar/1\.png has more than 8 bits.*,65535\]$"):
        next(iter(data.train_dataloader()))
    with pytest.raises(ZooError, match=r"a\.tar/1\.png has more than 8 bits.*,65535\]$"):
        data.split("train")  # which metrics compare with


def test_a_range_leaves_pictures_of_8_bits_as_they_are(tmp_path):
    place = shard(tmp_path / "a.tar", png(10), deep_png(1000), deep_png(2000))
    data = of(place, channels=1, value_range=[0, 2000], batch_size=3, flip=False)
    images = next(iter(data.train_dataloader()))[0]
    darkest = sorted(image.min().item() for image in images)
    assert darkest in ([10, 127, 255], [10, 128, 255])


def test_a_folder_of_pictures_is_for_image_folder(tmp_path):
    (tmp_path / "a.png").write_bytes(png(0))
    with pytest.raises(ZooError, match=r"has no shards .*datamodule=image_folder$"):
        of(tmp_path).setup()
