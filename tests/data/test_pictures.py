"""Picture files of every mode and size as tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers_data import damage, make_folder, save, smooth
from PIL import Image

from zoo.core.errors import ZooError
from zoo.data import pictures
from zoo.data.finding import find_pictures
from zoo.data.pictures import decode, decode_into
from zoo.data.pixels import resize


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path / "pets")


def grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L"))


def pixels(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(1, 2, 0).numpy().astype(int)


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


@pytest.mark.parametrize("size", [40, 900])  # below and above SMALL_JPEG
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


def test_small_jpegs_with_metadata_that_do_not_turn_them_stay_fast(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 1
    exif[0x010F] = "a camera"
    file = save(tmp_path / "upright.jpg", smooth(), quality=95, exif=exif)
    plain = decode(save(tmp_path / "plain.jpg", smooth(), quality=95), 24, 3)
    xmp = b'<rdf:Description tiff:Orientation="6"/>'
    turned = save(tmp_path / "turned.jpg", smooth(), quality=95, xmp=xmp)
    difference = decode(turned, 24, 3).int() - plain.int().rot90(-1, (1, 2))
    assert difference.abs().max() <= 2
    monkeypatch.setattr(pictures, "_decode_any", None)  # not called
    assert torch.equal(decode(file, 24, 3), plain)


def test_a_small_file_that_claims_to_be_huge_takes_no_memory(tmp_path):
    file = save(tmp_path / "huge.jpg", smooth(), quality=95)
    content = bytearray(file.read_bytes())
    place = content.index(b"\xff\xc0") + 5  # height and width in the frame's header
    content[place : place + 4] = b"\xff\xdc\xff\xdc"
    file.write_bytes(content)
    out = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    (error,) = decode_into(out, [str(file)])
    assert "huge.jpg cannot be read as a picture" in str(error)


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


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_small_jpegs_read_as_pillow_reads_them(tmp_path, monkeypatch, channels, subsampling):
    options = {"quality": 90, "subsampling": subsampling}
    files = [save(tmp_path / f"{n}.jpg", np.roll(smooth(), n, 0), **options) for n in range(3)]
    decode_any = pictures._decode_any
    monkeypatch.setattr(pictures, "_decode_any", None)  # not called
    out = torch.zeros(3, channels, 24, 24, dtype=torch.uint8)
    assert decode_into(out, [str(file) for file in files]) == [None] * 3
    by_pillow = torch.stack([decode_any(file, 24, channels) for file in files])
    assert (out.int() - by_pillow.int()).abs().max() <= 2


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


@pytest.mark.parametrize("kind", ["cut", "empty", "text"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tif"])
def test_unreadable_picture_is_named_in_one_sentence(tmp_path, kind, suffix):
    file = save(tmp_path / f"bad.{suffix}", smooth(40, 40))
    damage(file, kind)
    with pytest.raises(ZooError) as caught:
        decode(file, 8, 3)
    assert str(caught.value).startswith(f"{file} cannot be read as a picture (")
    assert "\n" not in str(caught.value)
