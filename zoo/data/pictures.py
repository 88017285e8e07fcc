"""Picture files of any format, size and mode as uint8 tensors of one size."""

from __future__ import annotations

import io
import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import simplejpeg
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features
from torch import Tensor

from zoo.core.errors import ZooError, listing
from zoo.core.sizes import ImageSize, height_width
from zoo.data.memory import PICTURE_MEMORY, Budget
from zoo.data.pixels import centred_window, fit
from zoo.data.value_range import Span, ValueRange, is_deep, range_of, span_of, to_levels

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", *((".avif",) if features.check("avif") else ())),
)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""Those of the endings, whatever a file is called: of others Pillow asks programs, as Ghostscript,
which carries out what an EPS file holds."""
ARCHIVES = (".zip", ".npz", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
MODES = {1: "L", 3: "RGB"}
SMALL_JPEG = 64 * 1024
"""Bytes up to which simplejpeg decodes JPEGs of one size together, faster than Pillow one by one.

Both decode at full scale: at a half, a quarter or an eighth, as libjpeg can, fine patterns come out
up to 30 levels away."""

MOST_PIXELS = 2**22
"""The most pixels of a picture: a small file may claim to be huge, and 64 are read at a time."""
MOST_BYTES = 2 * 10**9
"""The largest file of a picture: in a file with a hole a TIFF may have a tag of any length."""
BYTES_PER_PIXEL = 8
"""Memory to decode a pixel: Pillow keeps it in 4 bytes, and converting makes a second picture."""

Content = str | Path | bytes | np.ndarray | Exception
"""A picture: the path of its file, the bytes of such a file, or its pixels, uint8 (H, W) or
(H, W, 3); or else why it cannot be had."""

_BUDGET = Budget(PICTURE_MEMORY)
"""What the pictures that are decoded at the same time, on all cores, take together."""


class Picture(NamedTuple):
    """A picture file: its path below the root with forward slashes, its bytes, its change time.

    What is there and cannot be looked at has 0 bytes; a folder's path then ends in a slash.
    """

    name: str
    size: int
    mtime_ns: int


def find_pictures(root: Path, others: Counter[str] | None = None) -> list[Picture]:
    """All picture files below `root`, sorted by name; hidden files and folders are left out.

    Links to nowhere and unreadable folders are among them: they are pictures that cannot be
    decoded. What is no file (a pipe, a device) is none.

    Args:
        others: counts the other files by their ending, `.heic` for instance.

    Raises:
        ZooError: `root` is no folder or cannot be read, or there is no picture in it.
    """
    if root.is_file() and root.suffix.lower() in ARCHIVES:
        raise ZooError(
            f"{root} is an archive of a kind that is not read where it lies, as .zip, .npz and "
            ".tar files are: unpack it and name the folder of its pictures."
        )
    if root.is_file():
        raise ZooError(
            f"{root} is a file: name a folder of pictures, or a .zip, .npz or .tar file of them."
        )
    if not root.is_dir():
        raise ZooError(
            f"There is no folder of pictures {root}: name one with datamodule.folder=PATH"
        )
    others = Counter() if others is None else others
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
                continue
            suffix = os.path.splitext(entry.name)[1].lower()
            picture = _picture(prefix + entry.name, entry) if suffix in SUFFIXES else None
            if picture is not None:
                found.append(picture)
            else:
                others[suffix if _is_file(entry) else f"{suffix} (no file)"] += 1
    if not found:
        there = f" There are {in_words(others)}." if others else ""
        packed = " Name the archive itself, or unpack it." if set(others) & set(ARCHIVES) else ""
        raise ZooError(
            f"There is no picture in {root}: files ending in {', '.join(SUFFIXES)} count, "
            f"in sub-folders too, hidden ones do not.{there}{packed}"
        )
    return sorted(found)


def in_words(others: Counter[str]) -> str:
    """`3 files ending in .heic and 1 in .txt`, of what `find_pictures` counted."""
    counts = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    counted = [f"{count} in {suffix or 'no ending'}" for suffix, count in counts]
    files = "file" if counts[0][1] == 1 else "files"
    return listing([counted[0].replace(" in ", f" {files} ending in ", 1), *counted[1:]])


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return True


def _picture(name: str, entry: os.DirEntry[str]) -> Picture | None:
    """A picture by its name; None for a pipe or a device, which reading might wait for."""
    try:
        found = entry.stat()
    except OSError:
        return Picture(name, 0, 0)
    if not stat.S_ISREG(found.st_mode):
        return None
    return Picture(name, found.st_size, found.st_mtime_ns)


def decode(
    picture: Content,
    image_size: ImageSize,
    channels: int,
    value_range: ValueRange | None = None,
    name: str | None = None,
    most_pixels: int | None = None,
) -> Tensor:
    """One picture as uint8 (channels, height, width).

    It is turned upright as its EXIF data say, cropped to the largest centred window of the shape
    asked for (a square for one side) and resized with antialiasing. Transparency is put on white.
    Values of more than 8 bits are scaled from `value_range` to 0 to 255; the upper byte of 16 bits
    is what that gives.

    Args:
        picture: of an animation the first picture is taken.
        image_size: the side, or (height, width), in pixels.
        channels: 1 for grey, 3 for RGB.
        value_range: black and white of pictures of more than 8 bits; None takes the picture's own.
        name: what it is called in errors; of a file, its path.
        most_pixels: a picture of more is refused before room is made for them; None takes any.

    Raises:
        ZooError: the file cannot be read as a picture.
    """
    try:
        if most_pixels is not None:
            _check_pixels(picture, most_pixels)
        images = _small_jpegs([picture], channels)
        if images is None:
            return _decode_any(picture, image_size, channels, value_range)
    except Exception as error:  # every format fails in its own way
        # What the system says of a file repeats its path, which may be thousands of letters.
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
    """Decode pictures into `out` (N, C, H, W) as `decode` does, with the error of each.

    Small JPEGs of one size go through together, which saves most of what Python adds.
    """
    channels, *image_size = out.shape[1:]
    try:
        images = _small_jpegs(pictures, channels)
    except Exception:  # for one of them, which is found out below
        images = None
    if images is None:
        called: Sequence[str | None] = names or [None] * len(pictures)
        return [
            _decode_into(image, picture, value_range, name)
            for image, picture, name in zip(out, pictures, called, strict=True)
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
    """Upright JPEGs of one size as uint8 (N, C, H, W); None where one of them is for Pillow.

    That is another format or size, a large file, one that its metadata turn, CMYK, or damage.
    """
    contents = []
    for picture in pictures:
        content = _beginning(picture)
        is_jpeg = content is not None and content.startswith(b"\xff\xd8\xff")
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
    """The first bytes of a file, all of a small one; None for pixels."""
    if isinstance(picture, Exception):
        raise picture
    if isinstance(picture, np.ndarray):
        return None
    if isinstance(picture, bytes):
        return picture
    if not stat.S_ISREG(os.stat(picture).st_mode):  # opening a pipe would wait for its writer
        raise OSError("no file")
    descriptor = os.open(picture, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, SMALL_JPEG + 1)
    finally:
        os.close(descriptor)


def _check_pixels(picture: Content, most: int) -> None:
    """Refuse a picture that says in its first bytes that it has more pixels."""
    with _opened(picture) as opened:
        width, height = opened.size
    if width * height > most:
        raise ValueError(
            f"its {width} × {height} pixels are more than the {most / 1e6:.0f} million taken here"
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
    except UnidentifiedImageError as error:  # which would tell where in memory the bytes are
        raise ValueError("it is none") from error


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


def _decode_any(
    picture: Content, image_size: ImageSize, channels: int, value_range: ValueRange | None = None
) -> Tensor:
    mode = MODES[channels]
    with _opened(picture) as opened:
        pixels = opened.width * opened.height
        with _BUDGET.take(BYTES_PER_PIXEL * pixels):
            opened.draft(mode, opened.size)  # grey is a JPEG's own luma, as simplejpeg gives it
            ImageOps.exif_transpose(opened, in_place=True)
            flat = _flatten(opened, value_range)
            if flat.mode != mode:  # else it would be copied
                flat = flat.convert(mode)
            if pixels > MOST_PIXELS:  # a level away from `resize` at most, and without more copies
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
        # Cropped first: a box of `resize` would read beyond its edge.
        window = picture.crop((left, top, left + columns, top + rows))
    height, width = height_width(image_size)
    return window.resize((width, height), Image.Resampling.BICUBIC)


def deep_span(picture: Content) -> Span | None:
    """The span of the values of a picture of more than 8 bits; None for any other."""
    try:
        if isinstance(picture, str | Path) and not stat.S_ISREG(os.stat(picture).st_mode):
            return None
        with _opened(picture) as opened:
            if not is_deep(opened.mode):
                return None
            with _BUDGET.take(BYTES_PER_PIXEL * opened.width * opened.height):
                return span_of(np.asarray(opened))
    except Exception:  # decoding it tells
        return None


def _flatten(picture: Image.Image, value_range: ValueRange | None) -> Image.Image:
    """A picture of 8 bits per value and without transparency."""
    if is_deep(picture.mode):
        values = np.asarray(picture)
        return Image.fromarray(to_levels(values, value_range or range_of(values)))
    if picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info:
        top = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", top.size, "white"), top)
    return picture
