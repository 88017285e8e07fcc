"""A `.npz` file of images."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from zoo.core.errors import ZooError, listing
from zoo.data.pictures import Content, Picture
from zoo.data.sources.base import LARGE, MOST_BYTES, Source

IMAGES = ("images", "arr_0", "x")
LABELS = ("labels", "arr_1", "y")
CLASS_NAMES = "class_names"
SPLITS = ("train", "val", "test")
CHANNELS = (1, 3)
MOST_PICTURE = MOST_BYTES
"""The most bytes of one image, which is read as a whole."""


class Arrays(Source):
    """Images uint8 (N, H, W, C), (N, C, H, W) or (N, H, W) of a `.npz` file, and their labels.

    The arrays are called `images` and `labels`, with `train_`, `val_` and `test_` before them
    where there are splits (those without one are the training images), and `class_names` names the
    classes; what `np.savez(file, x, y)` calls `arr_0` and `arr_1` is taken as well. Images are read
    a part at a time, and nothing in the file is executed.

    Raises:
        ZooError: it is no such file, or its arrays do not fit together.
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
        except Exception as error:  # damage shows in many ways
            words = " ".join(str(error).split())[:200] or type(error).__name__
            raise ZooError(f"{file} cannot be read as a .npz file ({words}).") from error
        if not self.parts:
            raise ZooError(
                f"{file} holds {listing(sorted(arrays))} and no array of images: call them images "
                "(uint8, N x H x W x C or N x C x H x W) and labels (N), or train_images and so on."
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
            raise ZooError(f"{file} has labels, but none for its {without}_images.")
        if any(labelled):
            values = [label for part in self.parts for label in part.labels or []]
            self.class_names = None if names is None else [str(name) for name in names]
            self.classes = [self._class_of(value) for value in values]

    def _class_of(self, value: object) -> str:
        if self.class_names is None or not isinstance(value, int):
            return str(value)
        if not 0 <= value < len(self.class_names):
            raise ZooError(
                f"{self.file} has the label {value} and {len(self.class_names)} class_names: "
                "labels count from 0."
            )
        return self.class_names[value]

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        wanted, first = iter(rows), 0
        row = next(wanted, None)
        with zipfile.ZipFile(self.file) as opened:
            for part in self.parts:
                with opened.open(f"{part.images}.npy") as member:
                    _header(member)
                    at = 0
                    damage: Exception | None = None  # after which nothing more can be unpacked
                    while row is not None and row < first + part.count:
                        try:
                            if damage is None:
                                member.seek((row - first - at) * part.row_bytes, 1)
                                content: Content = part.picture(member.read(part.row_bytes))
                                at = row - first + 1
                        except Exception as error:  # damage shows in many ways
                            damage = error
                        yield content if damage is None else damage
                        row = next(wanted, None)
                first += part.count


class _Part:
    """The images of one split, or of a file without splits."""

    def __init__(
        self, opened: zipfile.ZipFile, file: Path, split: str, images: str, labels: str | None
    ) -> None:
        with opened.open(f"{images}.npy") as member:
            self.shape, fortran, dtype = _header(member)
        fits = len(self.shape) == 3 or (
            len(self.shape) == 4 and (self.shape[-1] in CHANNELS or self.shape[1] in CHANNELS)
        )
        if dtype != np.uint8 or not fits or fortran or 0 in self.shape[1:]:
            order = " in Fortran's order" if fortran else ""
            raise ZooError(
                f"{file}: {images} is {dtype} {_words(self.shape)}{order}, and images are uint8 "
                "(N, H, W, C), (N, C, H, W) or (N, H, W), of 1 or 3 channels."
            )
        self.split, self.images = split, images
        self.count = self.shape[0]
        self.row_bytes = int(np.prod(self.shape[1:], dtype=object))
        entry = opened.getinfo(f"{images}.npy")
        size, packed = entry.file_size, entry.compress_size
        # However well they are packed, a picture takes a byte.
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
                f"{file}: {name} is {labels.dtype} {_words(labels.shape)}, and labels are whole "
                f"numbers or names ({self.count},), one for each of {self.images}."
            )
        return labels.tolist()

    def name_of(self, row: int) -> str:
        return f"{self.split}/{row:08}" if self.split else f"{row:08}"

    def picture(self, pixels: bytes) -> np.ndarray:
        image = np.frombuffer(pixels, np.uint8).reshape(self.shape[1:])
        if image.ndim == 3 and image.shape[-1] not in CHANNELS:
            image = np.ascontiguousarray(image.transpose(1, 2, 0))
        return image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image


def _images_and_labels(arrays: set[str]) -> dict[str, tuple[str, str | None]]:
    """The names of the images and the labels of each split ("" where there are no splits).

    Images that name no split are those of the training where others name one.

    Raises:
        ValueError: there are others for the training as well.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for split in ("", *SPLITS):
        for images, labels in zip(IMAGES, LABELS, strict=True):
            before, own = (f"{split}_{images}", f"{split}_{labels}") if split else (images, labels)
            behind = (f"{images}_{split}", f"{labels}_{split}")
            for name, label in ((before, own), behind):
                if name in arrays and split not in found:
                    found[split] = (name, label if label in arrays else None)
    if "" not in found or len(found) == 1:
        return found
    if "train" in found:
        both = f"{found[''][0]} and {found['train'][0]}"
        raise ValueError(f"{both} may both be its training images: rename one")
    return {split or "train": names for split, names in found.items()}


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order and type of an array, whose values come next."""
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
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
