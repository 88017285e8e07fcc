"""Pictures of more than 8 bits, and large ones."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from helpers_data import GREY, folder_data, lay_out, save
from PIL import Image

from zoo.core.errors import ZooError
from zoo.data import picture_cache, pictures
from zoo.data.memory import Budget
from zoo.data.pictures import decode
from zoo.data.pixels import resize
from zoo.data.value_range import ValueRange, range_of, to_levels
from zoo.registry import create

# Pictures of more than 8 bits

RAMP = np.linspace(0, 1, 256).reshape(16, 16)


def deep(folder, values, name="a.tif"):
    return save(folder / name, Image.fromarray(values))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (RAMP.astype("f"), "[0, 1]"),
        ((RAMP * 2 - 1).astype("f"), "[-1, 1]"),
        ((RAMP * 255).astype("f"), "[0, 255]"),
        ((RAMP * 65535).astype("f"), "[0, 65535]"),
        ((RAMP * 4 - 1).astype("f"), "[-1, 3]"),
        (np.round(RAMP * 1023).astype("uint16"), "[0, 1023]"),
        (np.round(RAMP * 4095).astype("uint16"), "[0, 4095]"),
        (np.round(RAMP * 16383).astype("uint16"), "[0, 16383]"),
        (np.round(RAMP * 65535).astype("uint16"), "[0, 65535]"),
        (np.round(RAMP * 255).astype("int32"), "[0, 255]"),
        (np.round(RAMP * 2**20).astype("int32"), "[0, 1.04858e+06]"),
        (np.round(RAMP * 510 - 255).astype("int32"), "[-255, 255]"),
    ],
)
def test_the_whole_range_of_deep_pictures_is_kept(tmp_path, values, told):
    folder = tmp_path / "d"
    deep(folder, values)
    data = folder_data(folder, tmp_path, image_size=16, channels=1)
    image = data.split("train")[0][0, 0].numpy()
    assert np.abs(image - RAMP * 255).max() <= 1
    assert len(np.unique(image)) >= 250
    assert any(f"their values in {told} become" in note for note in data.notes), data.notes
    assert torch.equal(decode(folder / "a.tif", 16, 1)[0], torch.from_numpy(image))


def test_one_scale_for_the_whole_folder_and_the_checkpoint(tmp_path):
    from zoo.training.build import describe_data

    folder = tmp_path / "d"
    deep(folder, np.full((8, 8), 0.25, "f"), "a.tif")
    deep(folder, np.full((8, 8), 0.75, "f"), "b.tif")
    save(folder / "c.png", GREY)
    for _ in range(2):  # decoded, then from the cache
        data = folder_data(folder, tmp_path, channels=1)
        assert data.split("train")[0][:, 0, 0, 0].tolist() == [64, 191, 99]
    kept = describe_data(data, {"folder": str(folder)})["options"]
    assert kept == {"folder": str(folder), "value_range": [0, 1]}
    deep(folder, np.full((8, 8), 3.0, "f"), "d.tif")
    options = {"image_size": 8, "channels": 1, "cache_dir": str(tmp_path / "cache")}
    again = create("datamodule", "image_folder", **kept, **options)
    assert again.split("train")[0][:, 0, 0, 0].tolist() == [64, 191, 99, 255]


def test_not_a_number_is_black_and_no_part_of_the_range(tmp_path):
    values = RAMP.astype("f")
    values[0, 0], values[0, 1] = np.nan, np.inf
    image = decode(deep(tmp_path, values), 16, 1)[0]
    assert image[0, :2].tolist() == [0, 255]
    assert image.max() == 255


def test_floats_beside_deep_integers_need_a_range(tmp_path):
    folder = tmp_path / "d"
    deep(folder, RAMP.astype("f"), "a.tif")
    deep(folder, np.round(RAMP * 4095).astype("uint16"), "b.png")
    with pytest.raises(
        ZooError, match=r"no common scale fits both: .*datamodule.value_range=\[0,65535\]$"
    ):
        folder_data(folder, tmp_path, channels=1).setup()
    folder_data(folder, tmp_path, channels=1, value_range=[0, 4095]).setup()
    with pytest.raises(ZooError, match="must be two numbers"):
        folder_data(folder, tmp_path, value_range=[3, 3])


# Large pictures


@pytest.mark.parametrize("channels", [1, 3])
def test_large_and_small_jpegs_are_decoded_alike(tmp_path, channels):
    """Fine patterns at every scale: at 1/2, 1/4 or 1/8 they would come out up to 30 levels away."""
    y, x = np.mgrid[0:1024, 0:1024]
    for period in (3, 9, 17, 33):
        waves = [np.sin(2 * np.pi * v / period) for v in (x, y, x + y)]
        file = tmp_path / f"{period}.jpg"
        save(file, np.stack([127 * w + 128 for w in waves], -1).astype(np.uint8), quality=92)
        assert file.stat().st_size > pictures.SMALL_JPEG
        with Image.open(file) as opened:
            opened.draft(pictures.MODES[channels], opened.size)
            whole = np.array(opened.convert(pictures.MODES[channels])).reshape(1024, 1024, channels)
        for size in (32, 100):
            want = resize(torch.from_numpy(whole).permute(2, 0, 1).unsqueeze(0), size)[0]
            assert (decode(file, size, channels).int() - want.int()).abs().max() <= 2


def test_pictures_over_the_limit_are_resized_without_copies_to_the_same(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (90, 140, 3), np.uint8)
    file = save(tmp_path / "a.png", noise)
    want = decode(file, 20, 3)
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1000)
    assert (decode(file, 20, 3).int() - want.int()).abs().max() <= 1


def test_the_budget_bounds_all_threads_together(tmp_path, monkeypatch):
    folder = lay_out(tmp_path / "d", [f"{i:03}.png" for i in range(130)])
    held, most = [0], [0]

    class Watched(Budget):
        def take(self, size):
            outer = super().take(size)

            class Holding:
                def __enter__(self):
                    outer.__enter__()
                    held[0] += size
                    most[0] = max(most[0], held[0])

                def __exit__(self, *error):
                    held[0] -= size
                    outer.__exit__(*error)

            return Holding()

    one = pictures.BYTES_PER_PIXEL * 64
    monkeypatch.setattr(pictures, "_BUDGET", Watched(one))  # for one picture at a time
    monkeypatch.setattr(picture_cache, "CHUNK", 4)
    assert folder_data(folder, tmp_path).size("train") == 130
    assert (most[0], held[0]) == (one, 0)


def test_one_larger_than_the_budget_goes_alone():
    budget = Budget(10)
    with budget.take(1000):
        assert budget._left == 0
    assert budget._left == 10


# The cache


def test_a_range_belongs_to_its_cache(tmp_path):
    deep(tmp_path / "d", RAMP.astype("f"))
    first, second = (
        folder_data(tmp_path / "d", tmp_path, channels=1, value_range=[0, top]).split("train")[0]
        for top in (1, 2)
    )
    assert first.float().mean() > 1.9 * second.float().mean()
    assert ValueRange(0, 1) == (0, 1)


@pytest.mark.parametrize("kind", ["uint16", ">u2", "int32", "float32"])
def test_a_large_deep_picture_takes_little_more_than_its_values(kind):
    """Doubles of a whole picture of 81 million pixels took 3 GB, of a file of 160 KB."""
    values = np.arange(2000 * 1000).reshape(2000, 1000).astype(kind)
    scale = range_of(values)
    tracemalloc.start()
    try:
        levels = to_levels(values, scale)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < levels.nbytes + 50 * 2**18  # ten copies of doubles would be 160 MB
    in_rows = [to_levels(row, scale) for row in values]
    assert (levels == np.stack(in_rows)).all()
