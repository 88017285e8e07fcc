"""Reading folders of generated or real pictures at one size, so that they can be compared."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from zoo.core.errors import ZooError, ZooWarning, listing, suggest
from zoo.core.sizes import ImageSize, height_width, plain_size
from zoo.data.finding import find_pictures
from zoo.data.pictures import FORMATS
from zoo.metrics.comparison import Reference
from zoo.metrics.distances import random_rows
from zoo.metrics.evaluate import Pictures, reference_of
from zoo.metrics.references import class_numbers
from zoo.registry import REGISTRY, create, list_parts

if TYPE_CHECKING:
    from zoo.data.base import DataModule


class Look(NamedTuple):
    """A summary of the headers of a folder's pictures.

    Args:
        sizes: the number of pictures of each (width, height).
        grey: whether all pictures are grey.
    """

    sizes: Counter[tuple[int, int]]
    grey: bool

    @property
    def side(self) -> int:
        """The shortest side of all pictures, the largest size for which none is enlarged."""
        return min(min(size) for size in self.sizes)

    @property
    def in_words(self) -> str:
        """The smallest and the largest size: `64x48`, or `64x48 to 640x480`."""
        ordered = sorted(self.sizes, key=lambda size: size[0] * size[1])
        ends = [f"{width}x{height}" for width, height in (ordered[0], ordered[-1])]
        return " to ".join(dict.fromkeys(ends))


def look_at(folder: Path) -> Look:
    """Read the headers of all pictures below `folder`, ignoring those that cannot be read.

    Raises:
        ZooError: there is no such folder, or none of its files can be read as a picture.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    grey = True
    for picture in find_pictures(folder):
        try:
            with Image.open(folder / picture.name, formats=FORMATS) as opened:
                sizes[opened.size] += 1
                grey &= opened.mode in ("1", "L", "LA", "I", "F", "I;16")
        except Exception:  # each format raises errors of its own types
            continue
    if not sizes:
        raise ZooError(f"no file in {folder} can be read as a picture.")
    return Look(sizes, grey)


def preparation(look: Look, image_size: ImageSize) -> str:
    """Describe for the protocol how pictures are brought to a size."""
    height, width = height_width(image_size)
    if set(look.sizes) == {(width, height)}:
        return f"{width}x{height} as they are"
    window = "square" if height == width else "window"
    return f"centred {window}, bicubic antialiased to {width}x{height}"


def open_folder(folder: Path, image_size: ImageSize, channels: int) -> DataModule:
    """Open a folder of pictures at one size, with its sub-folders, if any, as classes.

    Raises:
        ZooError: see the data module `image_folder`.
    """
    flat = not any(p.is_dir() and not p.name.startswith(".") for p in folder.iterdir())
    data: DataModule = create(
        "datamodule",
        "image_folder",
        folder=str(folder),
        image_size=plain_size(image_size),
        channels=channels,
        labels="none" if flat else "auto",
    )
    data.prepare_data()
    data.setup()
    return data


def pictures_of(
    folder: str | Path,
    reference: Reference,
    n: int | None = None,
    seed: int = 0,
) -> tuple[Pictures, list[str]]:
    """Read the pictures of a folder with the size and channels of a reference.

    They have labels if the sub-folders have the names of classes of the reference.

    Args:
        folder: the folder.
        reference: the real images.
        n: the number of pictures to draw at random; None takes all.
        seed: the seed of the draw.

    Returns:
        The pictures, and notes about them.

    Raises:
        ZooError: there is no such folder, or it has fewer than `n` pictures or some that cannot be
            read.
    """
    place = existing(folder)
    channels, *image_size = reference.images.shape[1:]
    if channels not in (1, 3) or reference.images.dtype != torch.uint8:
        raise ZooError(
            f"{reference.name} has {channels} channels and cannot be compared with pictures: "
            "choose a data set of uint8 images with 1 or 3 channels."
        )
    look = look_at(place)
    data = open_folder(place, image_size, channels)
    images, labels = data.split("train")
    rows = drawn_rows(n, len(images), seed, str(folder))
    how = preparation(look, image_size)
    notes = [f"{folder} has pictures of {look.in_words}; they are compared as {how}.", *data.notes]
    numbers = class_numbers(data.class_names, reference.class_names)
    if data.num_classes and numbers is None:
        notes.append(
            f"the sub-folders of {folder} are not classes of {reference.name}, so the pictures "
            "are compared without labels."
        )
    rows_labels = None if numbers is None else numbers[labels[rows]]
    return Pictures(images[rows], rows_labels, how), notes


def drawn_rows(n: int | None, count: int, seed: int, where: str) -> Tensor:
    """Draw `n` of `count` row numbers at random and sort them; all of them if n is None.

    Raises:
        ZooError: `n` is greater than `count`.
    """
    if n is not None and n > count:
        raise ZooError(f"n={n:,} pictures were requested, but {where} has {count:,}.")
    return random_rows(count if n is None else n, count, seed)


def existing(folder: str | Path) -> Path:
    """Return the absolute path of a folder that must exist.

    Raises:
        ZooError: there is no such folder.
    """
    place = Path(folder).expanduser().resolve()
    if not place.is_dir():
        raise ZooError(f"there is no folder of pictures {folder}.")
    return place


def real_for(
    generated: str | Path,
    dataset: str,
    split: Literal["train", "val", "test"] = "train",
    image_size: int = 0,
    data_dir: str = "data",
) -> tuple[Reference, list[str]]:
    """Read the real images to compare with a folder of generated pictures, and notes about them.

    If `dataset` is a folder, the comparison is grey if all pictures of both folders are grey.

    Args:
        generated: the folder of generated pictures.
        dataset: the name of a data set, or a folder.
        split: the split of the data set.
        image_size: the side of the images on both sides; 0 takes the shortest side of all
            generated pictures.
        data_dir: the folder that holds data sets.

    Raises:
        ZooError: there is no such folder or data set.
    """
    look = look_at(existing(generated))
    side = image_size or look.side
    names = list_parts("datamodule")
    part = REGISTRY.get("datamodule", dataset) if dataset in names else None
    if part is not None and not part.takes("folder"):
        options = {"data_dir": data_dir, "image_size": side}
        data: DataModule = create(
            "datamodule", dataset, **{k: v for k, v in options.items() if part.takes(k)}
        )
        data.prepare_data()
        data.setup()
        return reference_of(data, split), []
    if not Path(dataset).expanduser().is_dir():
        raise ZooError(
            f"dataset={dataset} is neither a folder of pictures nor a data set; data sets are "
            f"{listing(names)}.{suggest(dataset, names)}"
        )
    real = existing(dataset)
    other = look_at(real)
    for folder, summary in ((generated, look), (real, other)):
        if summary.side < side:
            warnings.warn(
                f"{folder}: some pictures are smaller than {side}x{side} and are enlarged, which "
                "affects every metric.",
                ZooWarning,
                stacklevel=2,
            )
    data = open_folder(real, side, 1 if look.grey and other.grey else 3)
    how = preparation(other, side)
    notes = [f"{dataset} has pictures of {other.in_words}; they are compared as {how}."]
    return reference_of(data, split), [*notes, *data.notes]
