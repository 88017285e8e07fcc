"""Images and labels in a `.npz` file."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from zoo.core.errors import ZooError, listing
from zoo.data.finding import Picture
from zoo.data.pictures import Content
from zoo.data.sources.base import LARGE, MOST_BYTES, Source

IMAGES = ("images", "arr_0", "x")
LABELS = ("labels", "arr_1", "y")
CLASS_NAMES = "class_names"
SPLITS = ("train", "val", "test")
CHANNELS = (1, 3)
MOST_PICTURE = MOST_BYTES
"""The most bytes of one image, since images are read whole."""


class Arrays(Source):
    """Images uint8 (N, H, W, C), (N, C, H, W) or (N, H, W) in a `.npz` file, and their labels.

    The arrays are called `images` and `labels`, and `class_names` for the names of the classes.
    With splits, the prefixes `train_`, `val_` and `test_` are used, and arrays without a prefix are
    training images. `arr_0` and `arr_1`, the names that `np.savez(file, x, y)` gives, are accepted
    as well. Images are read one part at a time, and nothing in the file is executed.

    Raises:
        ZooError: the file is not such a file, or its arrays do not match each other.
    """

    may_be_deep = False

    def __init__(self, file: Path) -> None:
        self.file = file
        changed = file.stat().st_mtime_ns
        try:
            with zipfile.ZipFile(file) as opened:
                arrays = {n.removesuffix(".npy") for n in opened.namelist() if n.endswith(".npy")}
                self.parts = [
                    _Part(opened, file, split, *names)
                    for split, names in _images_and_labels(arrays).items()
                ]
                names = _small_array(opened, CLASS_NAMES, LARGE) if CLASS_NAMES in arrays else None
        except ZooError:
            raise
        except Exception as error:  # damage raises errors of many types
            words = " ".join(str(error).split())[:200] or type(error).__name__
            raise ZooError(f"{file} cannot be read as a .npz file ({words}).") from error
        if not self.parts:
            raise ZooError(
                f"{file} has no array of images, only {listing(sorted(arrays))}: name the arrays "
                "images (uint8, N x H x W x C or N x C x H x W) and labels (N), or train_images "
                "and so on."
            )
        super().__init__(
            str(file),
            [
                Picture(part.name_of(row), part.row_bytes, changed)
                for part in self.parts
                for row in range(part.count)
            ],
        )
        labelled = [part.labels is not None for part in self.parts]
        if any(labelled) and not all(labelled):
            without = next(p.split for p in self.parts if p.labels is None)
            raise ZooError(f"{file} has labels, but not for its {without}_images.")
        if any(labelled):
            values = [label for part in self.parts for label in part.labels or []]
            self.class_names = None if names is None else [str(name) for name in names]
            self.classes = [self._class_of(value) for value in values]

    def _class_of(self, value: object) -> str:
        if self.class_names is None or not isinstance(value, int):
            return str(value)
        if not 0 <= value < len(self.class_names):
            raise ZooError(
                f"{self.file} has the label {value}, but its {len(self.class_names)} class_names "
                "are numbered from 0."
            )
        return self.class_names[value]

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        remaining, first = iter(rows), 0
        row = next(remaining, None)
        with zipfile.ZipFile(self.file) as opened:
            for part in self.parts:
                with opened.open(f"{part.images}.npy") as member:
                    _header(member)
                    at = 0
                    damage: Exception | None = None  # nothing after it can be unpacked
                    while row is not None and row < first + part.count:
                        try:
                            if damage is None:
                                member.seek((row - first - at) * part.row_bytes, 1)
                                content: Content = part.picture(member.read(part.row_bytes))
                                at = row - first + 1
                        except Exception as error:  # damage raises errors of many types
                            damage = error
                        yield content if damage is None else damage
                        row = next(remaining, None)
                first += part.count


class _Part:
    """The images and labels of one split, or of a whole file without splits."""

    def __init__(
        self, opened: zipfile.ZipFile, file: Path, split: str, images: str, labels: str | None
    ) -> None:
        with opened.open(f"{images}.npy") as member:
            self.shape, fortran, dtype = _header(member)
        fits = len(self.shape) == 3 or (
            len(self.shape) == 4 and (self.shape[-1] in CHANNELS or self.shape[1] in CHANNELS)
        )
        if dtype != np.uint8 or not fits or fortran or 0 in self.shape[1:]:
            order = " in Fortran order" if fortran else ""
            raise ZooError(
                f"{file}: {images} is {dtype} {_words(self.shape)}{order}, but images must be "
                "uint8 (N, H, W, C), (N, C, H, W) or (N, H, W), with 1 or 3 channels."
            )
        self.split, self.images = split, images
        self.count = self.shape[0]
        self.row_bytes = int(np.prod(self.shape[1:], dtype=object))
        entry = opened.getinfo(f"{images}.npy")
        size, packed = entry.file_size, entry.compress_size
        # However well images are compressed, each takes at least one byte.
        if (
            self.count * self.row_bytes > size
            or self.row_bytes > MOST_PICTURE
            or self.count > packed
        ):
            raise ValueError(f"{images} claims to be {_words(self.shape)} in {packed:,} bytes")
        self.labels = None if labels is None else self._labels(opened, file, labels)

    def _labels(self, opened: zipfile.ZipFile, file: Path, name: str) -> list[int] | list[str]:
        labels = _small_array(opened, name)
        if labels.shape == (self.count, 1):
            labels = labels[:, 0]
        if labels.shape != (self.count,) or labels.dtype.kind not in "iuU":
            raise ZooError(
                f"{file}: {name} is {labels.dtype} {_words(labels.shape)}, but labels must be "
                f"integers or names ({self.count},), one for each of {self.images}."
            )
        return labels.tolist()

    def name_of(self, row: int) -> str:
        return f"{self.split}/{row:08}" if self.split else f"{row:08}"

    def picture(self, pixels: bytes) -> np.ndarray:
        """Return the bytes of one image as uint8 (H, W) or (H, W, 3)."""
        image = np.frombuffer(pixels, np.uint8).reshape(self.shape[1:])
        if image.ndim == 3 and image.shape[-1] not in CHANNELS:
            image = np.ascontiguousarray(image.transpose(1, 2, 0))
        return image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image


def _images_and_labels(arrays: set[str]) -> dict[str, tuple[str, str | None]]:
    """Return the names of the image and label arrays of each split ("" without splits).

    If some arrays name a split, those that do not are the training images.

    Raises:
        ValueError: there are both such arrays and arrays named after the training split.
    """
    names_of: dict[str, tuple[str, str | None]] = {}
    for split in ("", *SPLITS):
        for images, labels in zip(IMAGES, LABELS, strict=True):
            before, own = (f"{split}_{images}", f"{split}_{labels}") if split else (images, labels)
            behind = (f"{images}_{split}", f"{labels}_{split}")
            for name, label in ((before, own), behind):
                if name in arrays and split not in names_of:
                    names_of[split] = (name, label if label in arrays else None)
    if "" not in names_of or len(names_of) == 1:
        return names_of
    if "train" in names_of:
        both = f"{names_of[''][0]} and {names_of['train'][0]}"
        raise ValueError(f"{both} may both be the training images: rename one")
    return {split or "train": names for split, names in names_of.items()}


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Read the shape, order and dtype of an array, and stop in front of its values."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


def _small_array(opened: zipfile.ZipFile, name: str, most: int | None = None) -> np.ndarray:
    size = opened.getinfo(f"{name}.npy").file_size
    with opened.open(f"{name}.npy") as member:
        shape, _, dtype = _header(member)
    if size > (most or MOST_BYTES) or int(np.prod(shape, dtype=object)) * dtype.itemsize > size:
        raise ValueError(f"{name} claims to be {dtype} {_words(shape)} in {size:,} bytes")
    with opened.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _words(shape: tuple[int, ...]) -> str:
    """Format a shape, which may come from an untrusted header, as Python prints tuples."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
