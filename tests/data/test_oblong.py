"""Images whose height and width differ, in every data set's own way of getting them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers_data import folder_data, random_images, save, smooth
from PIL import Image

from zoo.core.errors import ZooError
from zoo.data import pictures
from zoo.data.pictures import decode, decode_into
from zoo.data.pixels import centred_window, fit, fit_digits
from zoo.registry import create


@pytest.mark.parametrize(
    ("height", "width", "size", "window"),
    [
        (50, 70, 16, (0, 10, 50, 50)),
        (100, 60, (48, 32), (5, 0, 90, 60)),
        (60, 100, (48, 32), (0, 30, 60, 40)),
        (48, 32, (48, 32), (0, 0, 48, 32)),
        (3, 200, (16, 8), (0, 99, 3, 2)),
    ],
)
def test_the_largest_centred_window_of_a_shape(height, width, size, window):
    assert centred_window(height, width, size) == window


def test_fitting_keeps_the_window_and_resizes_it():
    images = random_images(2, 3, 60, 100)
    assert torch.equal(fit(images, (60, 40)), images[..., 30:70])
    assert fit(images, (48, 32)).shape == (2, 3, 48, 32)


def test_digits_are_neither_cut_nor_stretched():
    digits = random_images(2, 1, 28, 28)
    wide = fit_digits(digits, [32, 48])
    assert torch.equal(wide[..., 2:30, 10:38], digits)
    assert int(wide.sum()) == int(digits.sum())
    tall = fit_digits(digits, (96, 64))
    assert tall.shape == (2, 1, 96, 64)
    assert torch.equal(tall[..., 16:80, :], fit_digits(digits, 64))
    assert torch.equal(fit_digits(digits, (28, 28)), digits)


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("most", [2**22, 1])
def test_pictures_small_and_large(tmp_path, monkeypatch, ending, most):
    monkeypatch.setattr(pictures, "MOST_PIXELS", most)
    picture = smooth(40, 60)
    file = save(tmp_path / f"picture.{ending}", picture)
    read = decode(file, (30, 15), 3).permute(1, 2, 0).numpy().astype(int)
    wanted = Image.fromarray(picture[:, 20:40]).resize((15, 30), Image.Resampling.BICUBIC)
    assert np.abs(read - np.asarray(wanted).astype(int)).max() <= (8 if ending == "jpg" else 1)
    out = torch.zeros(1, 3, 30, 15, dtype=torch.uint8)
    assert decode_into(out, [str(file)]) == [None]
    assert torch.equal(out[0], decode(file, (30, 15), 3))


def test_a_cache_of_each_shape(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        save(folder / f"{i}.png", smooth(20, 30))
    shapes = {}
    for size in (8, [8, 12], [12, 8], [8, 8]):
        data = folder_data(folder, tmp_path, image_size=size)
        shapes[str(size)] = tuple(data.split("train")[0].shape[2:])
        assert (data.height, data.width) == shapes[str(size)]
    assert list(shapes.values()) == [(8, 8), (8, 12), (12, 8), (8, 8)]
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 3
    assert folder_data(folder, tmp_path, image_size=[8, 8]).image_size == 8
    assert folder_data(folder, tmp_path, image_size=[8, 12]).image_size == (8, 12)


def test_other_shapes_replace_outdated_files_of_their_own_only(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    save(folder / "0.png", smooth(20, 30))
    folder_data(folder, tmp_path, image_size=[8, 12]).prepare_data()
    folder_data(folder, tmp_path, image_size=8).prepare_data()
    save(folder / "1.png", smooth(20, 30))
    folder_data(folder, tmp_path, image_size=[8, 12]).prepare_data()
    names = sorted(f.name[13:-25] for f in (tmp_path / "cache").glob("*.npy"))
    assert names == ["8x12x3", "8x3"]


@pytest.mark.parametrize("size", [0, [8], [8, 0], [8, 8, 8], []])
def test_what_is_no_size_is_told(size):
    with pytest.raises(ZooError, match=r"mnist_subset.*image_size"):
        create("datamodule", "mnist_subset", image_size=size)
