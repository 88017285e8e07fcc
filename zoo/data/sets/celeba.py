"""The CelebA data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.core import cache
from zoo.core.errors import ZooError, listing, suggest
from zoo.data.base import DataModule, Rows, Split
from zoo.data.download import Source
from zoo.data.picture_cache import PictureCache
from zoo.data.sources.folder import Folder
from zoo.registry import above, at_least, datamodule

PARTS: dict[Split, str] = {"train": "0", "val": "1", "test": "2"}


@datamodule("celeba")
class CelebADataModule(DataModule):
    """202,599 aligned faces of celebrities with the official split.

    The files are read from `<data_dir>/celeba`: the pictures from `img_align_celeba`,
    `list_eval_partition.txt` and, for classes, `list_attr_celeba.txt`. Pictures of 178x218 are
    cropped to the centred 178x178 (or the largest centred window with the aspect ratio of
    `image_size`), resized, and kept in a memory-mapped cache, as for `image_folder`.

    Args:
        image_size: the side, or [height, width], in pixels.
        attribute: one of the 40 attributes, for instance "Smiling", which defines two classes:
            without it and with it. None for no classes.
        on_error: what to do about a picture that cannot be read: "raise" an error that names it,
            or "skip" it.
        cache_dir: the folder for decoded pictures; by default `$ZOO_CACHE` if set, else
            `~/.cache/gan-zoo`.
        cache_limit_gb: the limit for all decoded pictures in `cache_dir`, in 10^9 bytes.

    Paper: Liu, Luo, Wang, Tang (2015), arXiv:1411.7766.
    """

    def __init__(
        self,
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 64,
        channels: Literal[1, 3] = 3,
        attribute: str | None = None,
        batch_size: Annotated[int, at_least(1)] = 64,
        flip: bool = True,
        on_error: Literal["raise", "skip"] = "raise",
        cache_dir: str | None = None,
        cache_limit_gb: Annotated[float, above(0)] = 20.0,
        class_balanced: bool = False,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            "celeba",
            image_size=image_size,
            channels=channels,
            class_names=[f"not {attribute}", attribute] if attribute else [],
            batch_size=batch_size,
            flip=flip,
            class_balanced=class_balanced,
            seed=seed,
            data_dir=data_dir,
        )
        self.attribute = attribute
        self.on_error = on_error
        place = Path(cache_dir).expanduser().resolve() if cache_dir else cache.cache_dir()
        self.cache = PictureCache(place, cache_limit_gb)

    @property
    def root(self) -> Path:
        """The folder of the pictures."""
        return self.data_dir / "celeba" / "img_align_celeba"

    def prepare_data(self) -> None:
        """Download and decode, so that the other processes find the pictures in the cache."""
        self.download()
        self.setup()

    def download(self) -> None:
        from torchvision.datasets import CelebA

        self._source().fetch(lambda: CelebA(str(self.data_dir), download=True))

    def setup(self, stage: str | None = None) -> None:
        """Map the decoded pictures into memory and apply the official split.

        Raises:
            ZooError: files are missing or damaged, there is no such attribute, or the cache has
                too little space.
        """
        if self._splits:
            return
        source = self._source()
        partition = source.read(self._read_partition)
        pictures = Folder(self.root)
        names = [picture.name for picture in pictures.pictures]
        labels = torch.zeros(len(names), dtype=torch.int64)
        if self.attribute:
            positive = source.read(self._read_attribute)
            labels = torch.tensor([int(name in positive) for name in names])
        images, readable, _ = self.cache.load(
            pictures, self.image_size, self.channels, self.on_error
        )
        for split, part in PARTS.items():
            rows = [row for row in readable if partition.get(names[row]) == part]
            index = torch.tensor(rows, dtype=torch.int64)
            self._splits[split] = Rows(images, labels, index)

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        return self.split(split)

    def _read_partition(self) -> dict[str, str]:
        lines = (self.root.parent / "list_eval_partition.txt").read_text().splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def _read_attribute(self) -> set[str]:
        """Return the names of the pictures with the attribute."""
        lines = (self.root.parent / "list_attr_celeba.txt").read_text().splitlines()
        attributes = lines[1].split()
        if self.attribute not in attributes:
            raise ZooError(
                f"celeba has no attribute {self.attribute!r}."
                f"{suggest(str(self.attribute), attributes)} Choices: {listing(attributes)}."
            )
        column = 1 + attributes.index(self.attribute)
        rows = (line.split() for line in lines[2:])
        return {row[0] for row in rows if row[column] == "1"}

    def _source(self) -> Source:
        files = ["img_align_celeba", "list_eval_partition.txt"]
        if self.attribute:
            files.append("list_attr_celeba.txt")
        return Source(
            f"datamodule {self.name}",
            [self.root.parent / file for file in files],
            ["https://drive.google.com/"],
            instead="datamodule=image_folder with your own pictures",
        )
