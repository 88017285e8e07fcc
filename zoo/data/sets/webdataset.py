"""The data module for WebDataset shards that are decoded during training."""

from __future__ import annotations

from typing import Annotated, Literal

import torch

from zoo.core.errors import ZooError
from zoo.core.sizes import height_width
from zoo.data.base import SPLITS, Rows, Split
from zoo.data.loader import EndlessLoader
from zoo.data.sets.image_folder import ImageFolder
from zoo.data.sources.base import Part
from zoo.data.sources.shards import Shards
from zoo.data.stream import StreamLoader, WindowSampler
from zoo.registry import above, at_least, datamodule


@datamodule("webdataset")
class WebDataset(ImageFolder):
    """WebDataset shards (.tar) that are decoded during training and need no further disk space.

    Each process reads its own shards, shuffled in every pass, and shuffles the images within a
    window; a run can be resumed at any image. Folders called train, val and test are splits. The
    pictures that metrics compare with are decoded into the cache, as by `image_folder`.

    Args:
        folder: the folder of the shards, a single shard, or a pattern, whose braces need two kinds
            of quotes: `"datamodule.folder='shards/train-{000..127}.tar'"`.
        image_size: the side, or [height, width], in pixels.
        channels: 3 for RGB, 1 for grey.
        labels: "auto" reads classes from `.cls` files, or from `label` in `.json` files; "none"
            ignores them.
        window: the number of images that are shuffled together; two windows are held in memory.
        on_error: what to do about a picture that cannot be read: "raise" an error that names it,
            or "skip" it and train on another picture in its place.
        cache_dir, cache_limit_gb: the cache for pictures that metrics compare with, see
            `image_folder`.
        value_range: the values that become black and white in pictures of more than 8 bits, which
            are refused without it.

    Paper: Aizman, Maltby, Breuel (2019), arXiv:2001.01858.
    """

    def __init__(
        self,
        folder: str = "",
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 32,
        channels: Literal[1, 3] = 3,
        labels: Literal["auto", "none"] = "auto",
        batch_size: Annotated[int, at_least(1)] = 64,
        flip: bool = True,
        window: Annotated[int, at_least(1)] = 2048,
        on_error: Literal["raise", "skip"] = "raise",
        cache_dir: str | None = None,
        cache_limit_gb: Annotated[float, above(0)] = 20.0,
        value_range: list[float] | None = None,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            folder,
            image_size,
            channels,
            labels,
            batch_size,
            flip,
            on_error,
            cache_dir=cache_dir,
            cache_limit_gb=cache_limit_gb,
            value_range=value_range,
            seed=seed,
            data_dir=data_dir,
        )
        self.name = "webdataset"
        self.window = window
        self._rows_of: dict[str, torch.Tensor] = {}

    def setup(self, stage: str | None = None) -> None:
        """Find the positions of all pictures in the shards.

        Raises:
            ZooError: shards are missing or damaged, pictures have no class, or the first picture
                of a shard has more than 8 bits, for which `value_range` must be set.
        """
        if self._rows_of:
            return
        source, splits, self.labels_of_rows, labelled = self._find()
        if not isinstance(source, Shards):
            raise ZooError(
                f"{source.place} has no shards (.tar files): use datamodule=image_folder"
            )
        self.source = source
        rows = [row for row, has_label in enumerate(labelled) if has_label]
        self._rows_of = self._divide(source.place, rows, splits)
        source.takes_deep = self.value_range is not None
        # The first picture of each shard is checked before training, the others when they are read.
        for _ in source.contents([group[0] for group in source.groups if len(group)]):
            pass

    def size(self, split: Split) -> int:
        self._prepare(split)
        return len(self._rows_of[split])

    def train_dataloader(self) -> EndlessLoader:
        """Return a loader of endless random batches from the shards of this process.

        It starts at the position `images_seen`.
        """
        self._prepare("train")
        chosen = torch.zeros(len(self.source.pictures), dtype=torch.bool)
        chosen[self._rows_of["train"]] = True
        groups = [group[chosen[group]] for group in map(_as_tensor, self.source.groups)]
        rank = self.trainer.global_rank if self.trainer else 0
        world_size = self.trainer.world_size if self.trainer else 1
        return StreamLoader(
            self.source,
            self.labels_of_rows,
            WindowSampler(groups, self.seed, self.window, rank, world_size),
            (self.channels, *height_width(self.image_size)),
            self.on_error,
            self.value_range,
            batch_size=self.batch_size,
            steps=self.d_steps,
            flip=self.flip,
            position=self.images_seen,
            repeated=self.repeated,
        )

    def _rows(self, split: Split) -> Rows:
        """Return a split from the cache, into which it is decoded at the first request."""
        self._prepare(split)
        if split not in self._splits:
            rows = self._rows_of[split].sort().values
            if not len(rows):
                empty = torch.empty(0, self.channels, *height_width(self.image_size))
                self._splits[split] = Rows(empty.to(torch.uint8), rows)
                return self._splits[split]
            images, readable, _ = self.cache.load(
                Part(self.source, rows.tolist(), split),
                self.image_size,
                self.channels,
                self.on_error,
                self.value_range,
            )
            chosen = None if len(readable) == len(rows) else torch.tensor(readable)
            self._splits[split] = Rows(images, self.labels_of_rows[rows], chosen)
        return self._splits[split]

    def _prepare(self, split: Split) -> None:
        """Check the name of a split and find the shards."""
        if split not in SPLITS:
            raise ZooError(f"There is no split {split!r}: choose one of {', '.join(SPLITS)}.")
        self.setup()


def _as_tensor(rows: range) -> torch.Tensor:
    return torch.arange(rows.start, rows.stop)
