"""Pictures of one's own, wherever they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.core import cache
from zoo.core.errors import ZooError
from zoo.data.base import SPLITS, DataModule, Rows, Split, fixed_order
from zoo.data.classes import classes_of
from zoo.data.layout import in_order, splits_of
from zoo.data.picture_cache import PictureCache
from zoo.data.pictures import in_words
from zoo.data.sources.base import Source
from zoo.data.sources.opening import is_source, located, open_source
from zoo.data.value_range import ValueRange
from zoo.registry import above, at_least, below, datamodule

HELD_OUT: tuple[Split, ...] = ("val", "test")


@datamodule("image_folder")
class ImageFolder(DataModule):
    """Pictures of any format, size and mode: a folder, a zip, .npz or tar file, a Hugging Face set.

    A folder is nested as deep as you like. A zip file is read without unpacking it; a .npz file
    holds images (uint8) and labels; tar files are shards of WebDataset; a folder that Hugging
    Face's `save_to_disk` wrote, or `hf:OWNER/NAME`, needs the extra `datasets`.

    Pictures are turned upright, cropped to the largest centred square (or window of the shape asked
    for) and resized once, on all cores, into a memory-mapped cache that is renewed when they
    change. Folders of the first level that are called train, val (valid, validation) and test are
    the splits, and classes lie in them.

    Args:
        folder: of the pictures, or the file, pattern or name of any of those kinds; from the
            working directory or from `data_dir`; by default `data_dir` itself.
        image_size: the side, or [height, width], in pixels.
        channels: 3 for RGB, 1 for grey.
        labels: "folders" makes a class of every sub-folder of the first level, "none" makes none;
            a CSV or JSON file says the class of each picture, the name of a column does in a
            Hugging Face set. "auto" reads `dataset.json` where it lies in the folder or the
            archive, else takes the sub-folders, and no labels where there are none.
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
        channels: Literal[1, 3] = 3,
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
    def place(self) -> str:
        """Where the pictures lie, with its whole path."""
        return located(self.folder, self.data_dir)

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
        source, splits, labels, labelled = self._find()
        images, readable, scale = self.cache.load(
            source, self.image_size, self.channels, self.on_error, self.value_range
        )
        if scale is not None:
            self.kept_options["value_range"] = list(scale)
            self.notes.append(
                f"pictures of more than 8 bits: their values from {scale} become 0 to 255, in the "
                "whole folder alike."
            )
        rows = [row for row in readable if labelled[row]]
        for split, chosen in self._divide(source.place, rows, splits).items():
            # All of them in order are the mapped file itself, which need not fit into memory.
            whole = len(chosen) == len(images)
            self._splits[split] = Rows(images, labels, None if whole else chosen.sort().values)

    def _find(self) -> tuple[Source, list[str] | None, Tensor, list[bool]]:
        """The pictures, the split of each, its label, and whether it has one."""
        try:
            source = open_source(self.place, self.labels)
        except ZooError as error:
            if self.folder and is_source(self.place):
                raise
            if self.folder:
                raise ZooError(
                    f"There is no folder of pictures {self.folder}, neither here nor in "
                    f"{self.data_dir}: name one with datamodule.folder=PATH"
                ) from error
            raise ZooError(
                "datamodule image_folder needs datamodule.folder=… (a folder of pictures, a .zip, "
                f".npz or .tar file, or hf:OWNER/NAME); without it pictures are looked for in "
                f"{self.data_dir} and its folders, and there are none."
            ) from error
        splits = splits_of([picture.name for picture in source.pictures])
        labels, labelled = self._read_labels(source, 0 if splits is None else 1)
        if source.others:
            told = in_words(source.others)
            self.notes.append(f"left out of {source.place}: {told}, which is no picture.")
        return source, splits, labels, labelled

    def _divide(self, place: str, rows: list[int], splits: list[str] | None) -> dict[str, Tensor]:
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
                    f"datamodule image_folder: {place} has a folder of its own for the split "
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

    def _read_labels(self, source: Source, depth: int) -> tuple[Tensor, list[bool]]:
        """The label of each picture, and whether it has one."""
        found = classes_of(source, self.labels, depth, self.on_error == "skip", self.notes)
        if found is None:
            count = len(source.pictures)
            return torch.zeros(count, dtype=torch.int64), [True] * count
        self.class_names = source.class_names or in_order(c for c in found if c is not None)
        number = {name: label for label, name in enumerate(self.class_names)}
        return (
            torch.tensor([0 if c is None else number[c] for c in found]),
            [c is not None for c in found],
        )
