"""Any folder of pictures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.core import cache
from zoo.core.errors import ZooError
from zoo.data.base import SPLITS, DataModule, Rows, Split, fixed_order
from zoo.data.layout import DATASET_JSON, folders_of, in_order, labels_in, splits_of
from zoo.data.picture_cache import PictureCache
from zoo.data.pictures import MODES, find_pictures, in_words
from zoo.data.value_range import ValueRange
from zoo.registry import above, at_least, below, datamodule

HELD_OUT: tuple[Split, ...] = ("val", "test")


@datamodule("image_folder")
class ImageFolder(DataModule):
    """A folder of pictures of any format, size and mode, nested as deep as you like.

    Pictures are turned upright, cropped to the largest centred square (or window of
    the shape asked for) and resized once, on all cores, into
    a memory-mapped cache that is renewed when the folder changes. Folders of the first level that
    are called train, val (valid, validation) and test are the splits, and classes lie in them.

    Args:
        folder: of the pictures, from the working directory or from `data_dir`; by default
            `data_dir` itself.
        image_size: the side, or [height, width], in pixels.
        channels: 3 for RGB, 1 for grey.
        labels: "folders" makes a class of every sub-folder of the first level, "none" makes none;
            a CSV or JSON file says the class of each picture. "auto" reads `dataset.json` where it
            lies in the folder, else takes the sub-folders, and no labels where there are none.
        on_error: what a picture that cannot be read does: stop with its name, or be left out and
            counted in a warning.
        val_fraction, test_fraction: shares of the pictures kept from training, chosen alike for
            every seed.
        cache_dir: where decoded pictures are kept; by default in `$ZOO_CACHE`, else in
            `~/.cache/gan-zoo`.
        cache_limit_gb: room for all decoded pictures in `cache_dir` in 10^9 bytes. Those of other
            folders make room first; a folder that alone needs more is refused.
        value_range: values of pictures of more than 8 bits that become black and white; by default
            those of the whole folder, which a checkpoint keeps.
        class_balanced: see `DataModule`.
    """

    def __init__(
        self,
        folder: str = "",
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 32,
        channels: int = 3,
        labels: str = "auto",
        batch_size: Annotated[int, at_least(1)] = 64,
        flip: bool = True,
        on_error: Literal["raise", "skip"] = "raise",
        val_fraction: Annotated[float, at_least(0), below(1)] = 0.0,
        test_fraction: Annotated[float, at_least(0), below(1)] = 0.0,
        cache_dir: str | None = None,
        cache_limit_gb: Annotated[float, above(0)] = 20.0,
        value_range: list[float] | None = None,
        class_balanced: bool = False,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            "image_folder",
            image_size=image_size,
            channels=channels,
            class_names=[],
            batch_size=batch_size,
            flip=flip,
            class_balanced=class_balanced,
            seed=seed,
            data_dir=data_dir,
        )
        if channels not in MODES:
            raise ZooError(f"datamodule image_folder: channels={channels} must be 1 or 3.")
        if min(val_fraction, test_fraction) < 0 or val_fraction + test_fraction >= 1:
            raise ZooError(
                f"datamodule image_folder: val_fraction={val_fraction} and "
                f"test_fraction={test_fraction} must be 0 or more and leave a rest to train on."
            )
        if value_range is not None and (len(value_range) != 2 or value_range[0] >= value_range[1]):
            raise ZooError(
                f"datamodule image_folder: value_range={value_range} must be two numbers, what is "
                "black and then what is white, for instance [0, 4095]."
            )
        self.value_range = None if value_range is None else ValueRange(*value_range)
        self.folder = folder
        self.labels = labels
        self.on_error = on_error
        self.fractions = (val_fraction, test_fraction)
        place = Path(cache_dir).expanduser().resolve() if cache_dir else cache.cache_dir()
        self.cache = PictureCache(place, cache_limit_gb)

    @property
    def root(self) -> Path:
        """The folder of pictures: from the working directory where it is there, else `data_dir`."""
        named = Path(self.folder).expanduser()
        if self.folder and (named.is_absolute() or named.is_dir()):
            return named.resolve()
        return self.data_dir / self.folder

    def prepare_data(self) -> None:
        """Decode the pictures, so that the other processes find them in the cache."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Find the pictures, map the decoded ones into memory, and split them.

        Raises:
            ZooError: a missing or empty folder, pictures without a class, an unreadable picture,
                no room for the cache.
        """
        if self._splits:
            return
        others: Counter[str] = Counter()
        pictures = find_pictures(self.root, others)
        names = [picture.name for picture in pictures]
        splits = splits_of(names)
        labels, labelled = self._read_labels(names, 0 if splits is None else 1, others)
        images, readable, scale = self.cache.load(
            self.root, pictures, self.image_size, self.channels, self.on_error, self.value_range
        )
        if others:
            self.notes.append(f"left out of {self.root}: {in_words(others)}, which is no picture.")
        if scale is not None:
            self.kept_options["value_range"] = list(scale)
            self.notes.append(
                f"pictures of more than 8 bits: their values from {scale} become 0 to 255, in the "
                "whole folder alike."
            )
        rows = [row for row in readable if labelled[row]]
        for split, chosen in self._divide(rows, splits).items():
            self._splits[split] = Rows(images, labels, chosen.sort().values)

    def _divide(self, rows: list[int], splits: list[str] | None) -> dict[str, Tensor]:
        """The rows of each split: as the folders say, and the fractions of the training part."""
        own = {
            split: torch.tensor(
                [row for row in rows if splits is None or splits[row] == split]
                if splits is not None or split == "train"
                else [],
                dtype=torch.int64,
            )
            for split in SPLITS
        }
        for split, fraction in zip(HELD_OUT, self.fractions, strict=True):
            if fraction and len(own[split]):
                raise ZooError(
                    f"datamodule image_folder: {self.root} has a folder of its own for the split "
                    f"{split!r}: leave {split}_fraction={fraction} out."
                )
        train = own["train"][fixed_order(len(own["train"]))]
        val, test = (int(fraction * len(train)) for fraction in self.fractions)
        own["train"], *parts = train.split([len(train) - val - test, val, test])
        for split, part in zip(HELD_OUT, parts, strict=True):
            own[split] = torch.cat([own[split], part])
        return {str(split): rows for split, rows in own.items()}

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        return self.split(split)

    def _read_labels(
        self, names: list[str], depth: int, others: Counter[str]
    ) -> tuple[Tensor, list[bool]]:
        """The label of each picture, and whether it has one."""
        found = self._class_of_each(names, depth, others)
        if found is None:
            return torch.zeros(len(names), dtype=torch.int64), [True] * len(names)
        self.class_names = in_order(c for c in found if c is not None)
        number = {name: label for label, name in enumerate(self.class_names)}
        return (
            torch.tensor([0 if c is None else number[c] for c in found]),
            [c is not None for c in found],
        )

    def _class_of_each(
        self, names: list[str], depth: int, others: Counter[str]
    ) -> list[str | None] | None:
        if self.labels == "none":
            return None
        file = self._label_file()
        if file is not None:
            if file.parent == self.root:
                others[file.suffix.lower()] -= 1
                others += Counter()  # drops what is 0
            found = labels_in(file, names)
            if found is None:
                self.notes.append(f"{file} has no labels: the pictures are without classes.")
                return None
            missing = [name for name, c in zip(names, found, strict=True) if c is None]
            if missing and self.on_error == "raise":
                raise ZooError(
                    f"{self.root / missing[0]} has no label in {file}"
                    + (f", as {len(missing) - 1} others" if len(missing) > 1 else "")
                    + ": add it, or leave such pictures out with datamodule.on_error=skip"
                )
            if missing:
                self.notes.append(
                    f"{len(missing)} pictures without a label in {file} are left out."
                )
            return found
        classes = folders_of(names, depth)
        loose = [name for name, c in zip(names, classes, strict=True) if c is None]
        if len(loose) == len(names) and self.labels == "auto":
            self.notes.append(
                f"the pictures in {self.root} lie in no sub-folders of classes and are without "
                "labels; a file of labels is read with datamodule.labels=FILE"
            )
            return None
        if loose:
            raise ZooError(
                f"{self.root / loose[0]} lies in no sub-folder and so has no class: move it into "
                "one, or train without classes with datamodule.labels=none"
            )
        return classes

    def _label_file(self) -> Path | None:
        """The file that says the classes, where one does."""
        if self.labels == "auto":
            file = self.root / DATASET_JSON
            return file if file.is_file() else None
        if self.labels == "folders":
            return None
        file = Path(self.labels).expanduser()
        if not file.is_file() and not file.is_absolute():
            file = self.root / file
        if file.suffix.lower() not in (".csv", ".json") or not file.is_file():
            raise ZooError(
                f"datamodule.labels={self.labels} is no .csv or .json file, here or in "
                f"{self.root}; otherwise it is auto, folders or none."
            )
        return file.resolve()
