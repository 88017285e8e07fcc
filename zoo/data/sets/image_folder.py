"""The data module for the user's own pictures in a folder, an archive or a data set file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.core import cache
from zoo.core.errors import ZooError, not_found
from zoo.data.base import SPLITS, DataModule, Rows, Split, fixed_order
from zoo.data.classes import classes_of
from zoo.data.finding import in_words
from zoo.data.layout import in_order, splits_of
from zoo.data.picture_cache import PictureCache
from zoo.data.sources.base import Source
from zoo.data.sources.opening import is_source, located, open_source
from zoo.data.value_range import ValueRange
from zoo.registry import above, at_least, below, datamodule

HELD_OUT: tuple[Split, ...] = ("val", "test")


@datamodule("image_folder")
class ImageFolder(DataModule):
    """Pictures of any format, size and mode: a folder, a zip, .npz or tar file, a Hugging Face set.

    A folder may be nested to any depth. A zip file is read without unpacking it; a .npz file
    holds images (uint8) and labels; tar files are WebDataset shards. A folder written by Hugging
    Face's `save_to_disk`, or `hf:OWNER/NAME`, needs the extra `datasets`.

    Pictures are turned upright, cropped to the largest centred square (or window with the aspect
    ratio of `image_size`) and resized. This happens once, on all cores; the results go into a
    memory-mapped cache, which is renewed when the pictures change. If all folders of the first
    level are called train, val (valid, validation) or test, they are the splits, and classes are
    the folders in them.

    Args:
        folder: the folder of pictures, or a file, pattern or name of one of the other kinds,
            relative to the working directory or to `data_dir`; by default `data_dir` itself.
        image_size: the side, or [height, width], in pixels.
        channels: 3 for RGB, 1 for grey.
        labels: where classes come from: "folders" for the sub-folders of the first level, a CSV or
            JSON file, the name of a column in a Hugging Face data set, or "none" for no classes.
            "auto" reads `dataset.json` if the folder or archive has one, else takes the
            sub-folders, and no classes if there are none.
        on_error: what to do about a picture that cannot be read: "raise" an error that names it,
            or "skip" it with a warning that counts such pictures.
        val_fraction, test_fraction: the shares of the training pictures that are held out for
            validation and testing, chosen alike for every seed.
        cache_dir: the folder for decoded pictures; by default `$ZOO_CACHE` if set, else
            `~/.cache/gan-zoo`.
        cache_limit_gb: the limit for all decoded pictures in `cache_dir`, in 10^9 bytes. Those of
            other folders are deleted to make room; a folder that needs more than the limit is
            refused.
        value_range: the values that become black and white in pictures of more than 8 bits; by
            default the range of the whole folder, which checkpoints keep.
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
                f"test_fraction={test_fraction} must be 0 or more and together less than 1, so "
                "that there are pictures to train on."
            )
        if value_range is not None and (len(value_range) != 2 or value_range[0] >= value_range[1]):
            raise ZooError(
                f"datamodule image_folder: value_range={value_range} must be two numbers, the "
                "value of black and a larger one of white, for instance [0, 4095]."
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
        """The absolute path of the pictures, or the name of a data set on the Hub."""
        return located(self.folder, self.data_dir)

    def prepare_data(self) -> None:
        """Decode the pictures, so that the other processes find them in the cache."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Find the pictures, decode them or map the decoded ones into memory, and split them.

        Raises:
            ZooError: the folder is missing or has no pictures, a picture has no class or cannot be
                read, or the cache has too little space.
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
                f"pictures of more than 8 bits: their values in {scale} become 0 to 255, for all "
                "pictures alike."
            )
        rows = [row for row in readable if labelled[row]]
        for split, chosen in self._divide(source.place, rows, splits).items():
            # None uses the mapped file itself, which need not fit into memory, without a copy.
            whole = len(chosen) == len(images)
            self._splits[split] = Rows(images, labels, None if whole else chosen.sort().values)

    def _find(self) -> tuple[Source, list[str] | None, Tensor, list[bool]]:
        """Return the pictures, the split and label of each, and whether each has a label."""
        try:
            source = open_source(self.place, self.labels)
        except ZooError as error:
            if self.folder and is_source(self.place):
                raise
            if self.folder:
                raise ZooError(
                    f"There is no folder of pictures {self.folder}"
                    f"{not_found(self.folder, self.data_dir)}: name one with datamodule.folder=PATH"
                ) from error
            raise ZooError(
                "datamodule image_folder needs datamodule.folder=… (a folder of pictures, a .zip, "
                ".npz or .tar file, or hf:OWNER/NAME); without it, it uses the pictures in "
                f"{self.data_dir} and its sub-folders, but there are none."
            ) from error
        splits = splits_of([picture.name for picture in source.pictures])
        labels, labelled = self._read_labels(source, 0 if splits is None else 1)
        if source.others:
            self.notes.append(
                f"{source.place} has files that are not pictures and are left out: "
                f"{in_words(source.others)}."
            )
        return source, splits, labels, labelled

    def _divide(self, place: str, rows: list[int], splits: list[str] | None) -> dict[str, Tensor]:
        """Return the rows of each split, from folders and from fractions of the training part."""
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
                    f"datamodule image_folder: {place} already has a folder for the split "
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
        """Return the label of each picture, and whether it has one."""
        classes = classes_of(source, self.labels, depth, self.on_error == "skip", self.notes)
        if classes is None:
            count = len(source.pictures)
            return torch.zeros(count, dtype=torch.int64), [True] * count
        self.class_names = source.class_names or in_order(c for c in classes if c is not None)
        label_of = {name: label for label, name in enumerate(self.class_names)}
        return (
            torch.tensor([0 if c is None else label_of[c] for c in classes]),
            [c is not None for c in classes],
        )
