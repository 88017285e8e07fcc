"""Any folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from zoo.core import cache
from zoo.core.errors import ZooError
from zoo.data.base import DataModule, Rows, Split, fixed_order
from zoo.data.picture_cache import PictureCache
from zoo.data.pictures import MODES, Picture, find_pictures
from zoo.registry import datamodule


@datamodule("image_folder")
class ImageFolder(DataModule):
    """A folder of pictures of any format, size and mode, nested as deep as you like.

    Pictures are turned upright, cropped to the centred square and resized once, on all cores, into
    a memory-mapped cache that is renewed when the folder changes.

    Args:
        folder: of the pictures, from the working directory or from `data_dir`; by default
            `data_dir` itself.
        image_size: H = W in pixels.
        channels: 3 for RGB, 1 for grey.
        labels: "folders" makes a class of every sub-folder of the first level, "none" makes none.
        on_error: what a picture that cannot be read does: stop with its name, or be left out and
            counted in a warning.
        val_fraction, test_fraction: shares of the pictures kept from training, chosen alike for
            every seed.
        cache_dir: where decoded pictures are kept; by default in `$ZOO_CACHE`, else in
            `~/.cache/gan-zoo`.
        cache_limit_gb: room for all decoded pictures in `cache_dir` in 10^9 bytes. Those of other
            folders make room first; a folder that alone needs more is refused.
    """

    def __init__(
        self,
        folder: str = "",
        image_size: int = 32,
        channels: int = 3,
        labels: Literal["folders", "none"] = "folders",
        batch_size: int = 64,
        flip: bool = True,
        on_error: Literal["raise", "skip"] = "raise",
        val_fraction: float = 0.0,
        test_fraction: float = 0.0,
        cache_dir: str | None = None,
        cache_limit_gb: float = 20.0,
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
        pictures = find_pictures(self.root)
        labels = self._read_labels(pictures)
        images, readable = self.cache.load(
            self.root, pictures, self.image_size, self.channels, self.on_error
        )
        order = torch.tensor(readable)[fixed_order(len(readable))]
        val, test = (int(fraction * len(order)) for fraction in self.fractions)
        parts = order.split([len(order) - val - test, val, test])
        for split, rows in zip(("train", "val", "test"), parts, strict=True):
            self._splits[split] = Rows(images, labels, rows.sort().values)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        return self.split(split)

    def _read_labels(self, pictures: list[Picture]) -> Tensor:
        if self.labels == "none":
            return torch.zeros(len(pictures), dtype=torch.int64)
        tops = [picture.name.split("/", 1)[0] for picture in pictures]
        loose = next((p.name for p in pictures if "/" not in p.name), None)
        if loose is not None:
            raise ZooError(
                f"{self.root / loose} lies in no sub-folder and so has no class: move it into one, "
                "or train without classes with datamodule.labels=none."
            )
        self.class_names = sorted(set(tops))
        number = {name: label for label, name in enumerate(self.class_names)}
        return torch.tensor([number[top] for top in tops])
