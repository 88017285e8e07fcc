"""Picture files of any format, size and mode as uint8 tensors of one size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.data.pixels import center_crop, resize

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm"),
)
MODES = {1: "L", 3: "RGB"}
SMALL_JPEG = 64 * 1024
"""Bytes up to which simplejpeg decodes a JPEG whole, ten times as fast as Pillow, which can decode
larger ones at a reduced scale."""

MOST_PIXELS = 2**22
"""Of one picture: a small file may claim to be huge, and room is made for 64 of them at a time."""


class Picture(NamedTuple):
    """A picture file: its path below the root with forward slashes, its bytes, its change time.

    What is there and cannot be looked at has 0 bytes; a folder's path then ends in a slash.
    """

    name: str
    size: int
    mtime_ns: int


def find_pictures(root: Path) -> list[Picture]:
    """All picture files below `root`, sorted by name; hidden files and folders are left out.

    Links to nowhere and unreadable folders are among them: they are pictures that cannot be
    decoded.

    Raises:
        ZooError: `root` is no folder or cannot be read, or there is no picture in it.
    """
    if not root.is_dir():
        raise ZooError(f"There is no folder of pictures {root}: name one with datamodule.folder=.")
    found: list[Picture] = []
    folders = [("", str(root))]
    seen = set()
    while folders:
        prefix, folder = folders.pop()
        real = os.path.realpath(folder)
        if real in seen:  # a link back up
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as opened:
                entries = list(opened)
        except OSError as error:
            if not prefix:
                raise ZooError(
                    f"The folder of pictures {root} cannot be read ({error.strerror})."
                ) from error
            found.append(Picture(prefix, 0, 0))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append((f"{prefix}{entry.name}/", entry.path))
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES:
                found.append(_picture(prefix + entry.name, entry))
    if not found:
        raise ZooError(
            f"There is no picture in {root}: files ending in {', '.join(SUFFIXES)} count, "
            "in sub-folders too, hidden ones do not."
        )
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _picture(name: str, entry: os.DirEntry[str]) -> Picture:
    try:
        stat = entry.stat()
    except OSError:
        return Picture(name, 0, 0)
    return Picture(name, stat.st_size, stat.st_mtime_ns)


def decode(path: str | Path, image_size: int, channels: int) -> Tensor:
    """One picture as uint8 (channels, image_size, image_size).

    It is turned upright as its EXIF data say, cropped to the centred square and resized with
    antialiasing. Transparency is put on white; 16-bit values keep their upper byte.

    Args:
        path: of the file; of an animation the first picture is taken.
        image_size: H = W in pixels.
        channels: 1 for grey, 3 for RGB.

    Raises:
        ZooError: the file cannot be read as a picture.
    """
    try:
        images = _small_jpegs([path], channels)
        if images is None:
            images = _decode_any(Path(path), image_size, channels).unsqueeze(0)
    except Exception as error:  # every format fails in its own way
        lines = str(error).strip().splitlines()
        raise ZooError(
            f"{path} cannot be read as a picture ({lines[0] if lines else type(error).__name__}): "
            "delete or replace it, or leave such files out with datamodule.on_error=skip."
        ) from error
    return _fit(images, image_size).squeeze(0)


def decode_into(out: Tensor, paths: Sequence[str]) -> list[ZooError | None]:
    """Decode pictures into `out` (N, C, S, S) as `decode` does, with the error of each.

    Small JPEGs of one size go through together, which saves most of what Python adds.
    """
    channels, image_size = out.shape[1:3]
    try:
        images = _small_jpegs(paths, channels)
    except Exception:  # for one of them, which is found out below
        images = None
    if images is None:
        return [_decode_into(image, path) for image, path in zip(out, paths, strict=True)]
    out[:] = _fit(images, image_size)
    return [None] * len(paths)


def _decode_into(out: Tensor, path: str) -> ZooError | None:
    try:
        out.copy_(decode(path, out.shape[1], out.shape[0]))
    except ZooError as error:
        out.zero_()
        return error
    return None


def _fit(images: Tensor, image_size: int) -> Tensor:
    if images.shape[-2:] == (image_size, image_size):
        return images
    return resize(center_crop(images), image_size)


def _small_jpegs(paths: Sequence[str | Path], channels: int) -> Tensor | None:
    """Upright JPEGs of one size as uint8 (N, C, H, W); None where one of them is for Pillow.

    That is another format or size, a large file, one that its metadata turn, CMYK, or damage.
    """
    contents = []
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            content = os.read(descriptor, SMALL_JPEG + 1)
        finally:
            os.close(descriptor)
        is_jpeg = content.startswith(b"\xff\xd8\xff")
        if not is_jpeg or len(content) > SMALL_JPEG or not _is_upright(content):
            return None
        contents.append(content)
    try:
        sizes = {simplejpeg.decode_jpeg_header(content)[:2] for content in contents}
        (height, width), *others = sizes
        if others or height * width > MOST_PIXELS:
            return None
        pixels = np.empty((len(contents), height, width, channels), np.uint8)
        colorspace = "GRAY" if channels == 1 else "RGB"
        for content, place in zip(contents, pixels, strict=True):
            simplejpeg.decode_jpeg(content, colorspace, buffer=place)
    except ValueError:
        return None
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _is_upright(content: bytes) -> bool:
    """Whether nothing in a JPEG's metadata turns it."""
    if b"tiff:Orientation" in content:  # XMP; what it says is left to Pillow
        return False
    start = content.find(b"Exif\0\0")
    if start < 0:
        return True
    exif = Image.Exif()
    exif.load(content[start:])
    return exif.get(ExifTags.Base.Orientation, 1) == 1


def _decode_any(path: Path, image_size: int, channels: int) -> Tensor:
    mode = MODES[channels]
    with Image.open(path) as opened:
        # A JPEG can be decoded at 1/2, 1/4 or 1/8; twice the size is left for the resizing.
        opened.draft(mode, (2 * image_size, 2 * image_size))
        picture = ImageOps.exif_transpose(opened)
    pixels = np.array(_flatten(picture).convert(mode))
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)


def _flatten(picture: Image.Image) -> Image.Image:
    """A picture of 8 bits per value and without transparency."""
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture).astype(np.float64)
        # "I;16" says 16 bits; "I" holds 32, of which files use 8 or 16.
        if ";16" in picture.mode or (picture.mode == "I" and values.max(initial=0) > 255):
            values = np.floor(values / 256)
        return Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        top = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", top.size, "white"), top)
    return picture
