"""Decoding pictures, whatever their format and size, to uint8 tensors."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.sizes import ImageSize, height_width
from zoo.data.memory import PICTURE_MEMORY, Budget
from zoo.data.pixels import centred_window, fit
from zoo.data.value_range import Span, ValueRange, is_deep, range_of, span_of, to_levels

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""The formats of the files that `zoo.data.finding` finds. Others are refused whatever their name:
Pillow passes some to other programs, such as EPS to Ghostscript, which executes them."""
JPEG = b"\xff\xd8\xff"
"""The first bytes of a JPEG."""
MODES = {1: "L", 3: "RGB"}
SMALL_JPEG = 64 * 1024
"""The size in bytes up to which simplejpeg decodes JPEGs of equal dimensions in one go, which is
faster than Pillow one by one.

Both decode at full scale. The reduced scales of libjpeg (1/2, 1/4, 1/8) would be faster, but change
fine patterns by up to 30 levels."""

MOST_PIXELS = 2**22
"""The most pixels that simplejpeg decodes and `resize` handles; larger pictures are left to Pillow
within the memory budget, since a small file may claim to be huge and 64 are read at a time."""
MOST_BYTES = 2 * 10**9
"""The largest picture file in bytes: a TIFF in a sparse file may have a tag of any length."""
BYTES_PER_PIXEL = 8
"""The memory to decode a pixel: Pillow stores it in 4 bytes, and conversion makes a second copy."""

Content = str | Path | bytes | np.ndarray | Exception
"""A picture: the path of its file, the bytes of such a file, its pixels as uint8 (H, W) or
(H, W, 3), or the exception that explains why there is none."""

_BUDGET = Budget(PICTURE_MEMORY)
"""The memory for all pictures that are decoded at the same time, on all cores."""


def decode(
    picture: Content,
    image_size: ImageSize,
    channels: int,
    value_range: ValueRange | None = None,
    name: str | None = None,
    most_pixels: int | None = None,
) -> Tensor:
    """Decode one picture to uint8 (channels, height, width).

    The picture is turned upright according to its EXIF data, cropped to the largest centred window
    with the aspect ratio of `image_size`, and resized with antialiasing. Transparent pixels are
    blended onto white. Values of more than 8 bits are scaled from `value_range` to [0, 255]; for
    the full range of 16 bits, that is the upper byte.

    Args:
        picture: the picture; only the first frame of an animation is decoded.
        image_size: the side, or (height, width), in pixels.
        channels: 1 for grey, 3 for RGB.
        value_range: the values of black and white in a picture of more than 8 bits; None takes the
            picture's own range.
        name: what the picture is called in errors; None for the path of its file.
        most_pixels: the most pixels to accept; a larger picture is refused before memory is
            allocated for it. None accepts any number.

    Raises:
        ZooError: the file cannot be read as a picture.
    """
    try:
        if most_pixels is not None:
            _check_pixels(picture, most_pixels)
        images = _small_jpegs([picture], channels)
        if images is None:
            return _decode_any(picture, image_size, channels, value_range)
    except Exception as error:  # each format raises errors of its own types
        # The text of an OSError repeats the path, which may be thousands of characters long.
        lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
        raise ZooError(
            f"{name or picture!s} cannot be read as a picture "
            f"({lines[0] if lines else type(error).__name__})"
        ) from error
    return fit(images, image_size).squeeze(0)


def decode_into(
    out: Tensor,
    pictures: Sequence[Content],
    value_range: ValueRange | None = None,
    names: Sequence[str] | None = None,
) -> list[ZooError | None]:
    """Decode pictures into `out` (N, C, H, W) as `decode` does.

    Small JPEGs of one size are decoded together, which avoids most of Python's overhead.

    Returns:
        One error per picture, None for a picture that was decoded.
    """
    channels, *image_size = out.shape[1:]
    try:
        images = _small_jpegs(pictures, channels)
    except Exception:  # one of them is damaged; decoding them one by one shows which
        images = None
    if images is None:
        labels: Sequence[str | None] = names or [None] * len(pictures)
        return [
            _decode_into(image, picture, value_range, name)
            for image, picture, name in zip(out, pictures, labels, strict=True)
        ]
    out[:] = fit(images, image_size)
    return [None] * len(pictures)


def _decode_into(
    out: Tensor, picture: Content, value_range: ValueRange | None, name: str | None
) -> ZooError | None:
    try:
        out.copy_(decode(picture, out.shape[1:], out.shape[0], value_range, name))
    except ZooError as error:
        out.zero_()
        return error
    return None


def _small_jpegs(pictures: Sequence[Content], channels: int) -> Tensor | None:
    """Decode upright JPEGs of one size to uint8 (N, C, H, W); None if one of them needs Pillow.

    Pillow is needed for other formats, differing sizes, large files, pictures that their metadata
    rotate, CMYK, and damaged files.
    """
    contents = []
    for picture in pictures:
        content = _beginning(picture)
        is_jpeg = content is not None and content.startswith(JPEG)
        if content is None or not is_jpeg or len(content) > SMALL_JPEG or not _is_upright(content):
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


def _beginning(picture: Content) -> bytes | None:
    """Return the first bytes of a file, enough to hold all of a small JPEG; None for pixels."""
    if isinstance(picture, Exception):
        raise picture
    if isinstance(picture, np.ndarray):
        return None
    if isinstance(picture, bytes):
        return picture
    if not stat.S_ISREG(os.stat(picture).st_mode):  # opening a pipe would wait for its writer
        raise OSError("it is not a regular file")
    descriptor = os.open(picture, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, SMALL_JPEG + 1)
    finally:
        os.close(descriptor)


def _check_pixels(picture: Content, most: int) -> None:
    """Refuse a picture whose header claims more than `most` pixels."""
    with _opened(picture) as opened:
        width, height = opened.size
    if width * height > most:
        raise ValueError(
            f"its {width} × {height} pixels exceed the limit of {most / 1e6:.0f} million"
        )


def _opened(picture: Content) -> Image.Image:
    if isinstance(picture, Exception):
        raise picture
    if isinstance(picture, np.ndarray):
        return Image.fromarray(picture)
    if not isinstance(picture, bytes):
        if os.stat(picture).st_size > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES / 1e9:.0f} GB")
        return Image.open(picture, formats=FORMATS)
    try:
        return Image.open(io.BytesIO(picture), formats=FORMATS)
    except UnidentifiedImageError as error:  # its text shows only the memory address of the bytes
        raise ValueError("it has no known format") from error


def _is_upright(content: bytes) -> bool:
    """Whether a JPEG's metadata leave its orientation unchanged."""
    if b"tiff:Orientation" in content:  # XMP metadata, which Pillow interprets
        return False
    start = content.find(b"Exif\0\0")
    if start < 0:
        return True
    exif = Image.Exif()
    exif.load(content[start:])
    return exif.get(ExifTags.Base.Orientation, 1) == 1


def _decode_any(
    picture: Content, image_size: ImageSize, channels: int, value_range: ValueRange | None = None
) -> Tensor:
    mode = MODES[channels]
    with _opened(picture) as opened:
        pixels = opened.width * opened.height
        with _BUDGET.take(BYTES_PER_PIXEL * pixels):
            opened.draft(mode, opened.size)  # grey is the JPEG's own luma, as in simplejpeg
            ImageOps.exif_transpose(opened, in_place=True)
            flat = _flatten(opened, value_range)
            if flat.mode != mode:  # `convert` would copy it in any case
                flat = flat.convert(mode)
            if pixels > MOST_PIXELS:  # differs from `resize` by 1 level at most and saves copies
                return _as_tensor(_fit_by_pillow(flat, image_size), channels)
            images = _as_tensor(flat, channels).unsqueeze(0)
            return fit(images, image_size).squeeze(0)


def _as_tensor(picture: Image.Image, channels: int) -> Tensor:
    pixels = np.array(picture)
    return torch.from_numpy(pixels.reshape(*pixels.shape[:2], channels)).permute(2, 0, 1)


def _fit_by_pillow(picture: Image.Image, image_size: ImageSize) -> Image.Image:
    top, left, rows, columns = centred_window(picture.height, picture.width, image_size)
    window = picture
    if (columns, rows) != picture.size:
        # The `box` argument of `resize` would include pixels beyond the window's edge.
        window = picture.crop((left, top, left + columns, top + rows))
    height, width = height_width(image_size)
    return window.resize((width, height), Image.Resampling.BICUBIC)


def deep_span(picture: Content) -> Span | None:
    """Return the span of the values of a picture of more than 8 bits; None for any other."""
    try:
        if isinstance(picture, str | Path) and not stat.S_ISREG(os.stat(picture).st_mode):
            return None
        with _opened(picture) as opened:
            if not is_deep(opened.mode):
                return None
            with _BUDGET.take(BYTES_PER_PIXEL * opened.width * opened.height):
                return span_of(np.asarray(opened))
    except Exception:  # a damaged picture is reported when it is decoded
        return None


def _flatten(picture: Image.Image, value_range: ValueRange | None) -> Image.Image:
    """Return the picture with 8 bits per value and without transparency."""
    if is_deep(picture.mode):
        values = np.asarray(picture)
        return Image.fromarray(to_levels(values, value_range or range_of(values)))
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        top = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", top.size, "white"), top)
    return picture
