"""The base of all data modules: splits, loaders, resuming.

A data set in about 15 lines, for instance in `plugins/blobs.py`:

    import torch
    from zoo.data.base import DataModule
    from zoo.registry import datamodule

    @datamodule("blobs")
    class Blobs(DataModule):
        '''Grey squares of ten brightnesses.'''

        def __init__(
            self, image_size: int = 32, batch_size: int = 64, seed: int = 0, data_dir: str = "data"
        ) -> None:
            classes = [str(k) for k in range(10)]
            super().__init__("blobs", image_size, 1, classes, batch_size, seed=seed)

        def load(self, split):
            labels = torch.arange(1000 if split == "train" else 100) % 10
            shades = (labels * 25).to(torch.uint8).view(-1, 1, 1, 1)
            return shades.expand(-1, 1, self.height, self.width).clone(), labels
"""

# Annotations are types here, as in zoo/contracts/outputs.py: Rows stands on the pages of the API.

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from zoo.core.errors import ZooError, at_least
from zoo.core.sizes import ImageSize, height_width, plain_size
from zoo.data.checks import check_batch_size
from zoo.data.loader import EndlessLoader, OrderedLoader, TrainLoader, take_rows

DEVICE_SHARE = 0.25
"""Of a CUDA device's free memory: training images that fit into it are kept there, so that no batch
has to be copied."""
ROWS = 4096
"""Images that are copied there together."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class Rows(NamedTuple):
    """A split: the chosen rows of images and labels, all of them where `chosen` is None."""

    images: Tensor
    labels: Tensor
    chosen: Tensor | None = None

    @property
    def size(self) -> int:
        return len(self.images) if self.chosen is None else len(self.chosen)


class DataModule(pl.LightningDataModule):
    """A data set in memory: uint8 images of one size (or floats in [-1, 1]), and int64 labels.

    A subclass gives `load`, and `download` where there is something to download. Batches are
    `(images, labels)`: uint8 (B, C, H, W) in [0, 255] and int64 (B,); `zoo.data.pixels.to_float`
    makes the images float on the device.

    Args:
        name: as registered.
        image_size: side of the images that `load` returns, or (height, width).
        channels: C of them.
        class_names: one per class; empty without classes, and then `num_classes` is 0.
        batch_size: images of one update, over all processes together.
        flip: mirror training images left-right at random.
        train_val_test_split: how many images each split takes. Training and validation images
            come from the set's own training part by a choice that is the same for every seed, the
            others from its test part. None: the set's own parts as they are.
        seed: of the order and the flips; 0 or more.
        data_dir: the folder of data sets.
        class_balanced: draw the class of each training image, all as likely, and then an image of
            it. Figures such as the FID stay those of the data set's own share of classes.

    Attributes:
        notes: what is otherwise than one may think, in sentences.
        kept_options: options that were found rather than given, for the checkpoint.
        d_steps: discriminator updates whose images one training batch holds; set before
            `train_dataloader` is called.
        repeated: how many first batches come again and again, as all that is trained on; None for
            the whole data set. Set before `train_dataloader` is called.
        images_seen: training images consumed, over all processes. The training loop sets it to
            what was trained on, not what was fetched; the loader starts from it and checkpoints
            keep it.
        own_parts: the parts that `load` knows.
        features: the feature network that knows its images, by name; None takes a general one.
        samples: generated images that its figures are made of, unless they are given.
        centers: the middles (K, 2) of the modes of points of the plane, which pictures show; None
            for images.
    """

    own_parts: tuple[Split, ...] = ("train", "test")
    features: ClassVar[str | None] = None
    samples: ClassVar[int] = 10_000
    centers: Tensor | None = None

    def __init__(
        self,
        name: str,
        image_size: ImageSize,
        channels: int,
        class_names: list[str],
        batch_size: int = 64,
        flip: bool = False,
        train_val_test_split: list[int] | None = None,
        seed: int = 0,
        data_dir: str = "data",
        class_balanced: bool = False,
    ) -> None:
        super().__init__()
        try:
            height, width = height_width(image_size)
        except ZooError as error:
            raise ZooError(f"datamodule {name}: {error}") from error
        at_least(1, f"datamodule {name}: ", channels=channels, batch_size=batch_size)
        check_batch_size(name, batch_size, channels * height * width)
        if train_val_test_split is not None and (
            len(train_val_test_split) != 3 or min(train_val_test_split) < 0
        ):
            raise ZooError(
                f"datamodule {name}: train_val_test_split={train_val_test_split} must be three "
                "numbers of images, for instance [55000, 5000, 10000]."
            )
        self.name = name
        self.image_size = plain_size(image_size)
        self.channels = channels
        self.class_names = list(class_names)
        self.batch_size = batch_size
        self.flip = flip
        self.train_val_test_split = train_val_test_split
        self.seed = seed
        self.data_dir = Path(data_dir).expanduser().resolve()
        self.class_balanced = class_balanced
        self.notes: list[str] = []
        self.kept_options: dict[str, Any] = {}
        if class_balanced:
            self.notes.append(
                "class_balanced=true: every class is drawn as often in training; task=evaluate "
                "asks for classes as often as they are in the data."
            )
        self.d_steps = 1
        self.repeated: int | None = None
        self.images_seen = 0
        self._splits: dict[str, Rows] = {}

    @property
    def height(self) -> int:
        return height_width(self.image_size)[0]

    @property
    def width(self) -> int:
        return height_width(self.image_size)[1]

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 for none."""
        return len(self.class_names)

    @property
    def images_per_step(self) -> int:
        """Images of one training batch over all processes: `d_steps * batch_size`."""
        return self.d_steps * self.batch_size

    @images_per_step.setter
    def images_per_step(self, images: int) -> None:
        if images < 1 or images % self.batch_size:
            raise ZooError(
                f"images_per_step={images} must be a multiple of batch_size={self.batch_size}"
            )
        updates = images // self.batch_size
        values = self.channels * self.height * self.width
        check_batch_size(str(self.name), self.batch_size, values, updates)
        self.d_steps = updates

    @abstractmethod
    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        """Images (N, C, height, width) uint8 and labels (N,) int64 of one of `own_parts`.

        A set with a "val" of its own names it in `own_parts` and leaves `train_val_test_split`
        None.
        """

    def download(self) -> None:
        """Fetch what is missing; called once per machine before `load`."""

    def prepare_data(self) -> None:
        """Lightning's hook on one process: download."""
        self.download()

    def setup(self, stage: str | None = None) -> None:
        """Lightning's hook on every process: load the images once and split them.

        Raises:
            ZooError: the data set is missing or damaged, smaller than the split asks for, or its
                labels do not fit its images.
        """
        if self._splits:
            return
        parts = {part: self._load(part) for part in self.own_parts}
        nothing = parts["train"]._replace(chosen=torch.arange(0))
        if self.train_val_test_split is None:
            self._splits = {split: parts.get(split, nothing) for split in SPLITS}
            return
        train, val, test = self.train_val_test_split
        own, held_out = parts["train"], parts.get("test", nothing)
        if train + val > own.size or test > held_out.size:
            raise ZooError(
                f"datamodule {self.name}: train_val_test_split={self.train_val_test_split} asks "
                f"for {train + val} images to train and validate on and {test} to test on, but "
                f"there are {own.size} and {held_out.size}."
            )
        order = fixed_order(own.size)
        self._splits = {
            "train": own._replace(chosen=order[:train].sort().values),
            "val": own._replace(chosen=order[train : train + val].sort().values),
            "test": nothing,
        }
        if test:
            chosen = fixed_order(held_out.size)[:test].sort().values
            self._splits["test"] = held_out._replace(chosen=chosen)

    def split(self, split: Split) -> tuple[Tensor, Tensor]:
        """All images (N, C, H, W) uint8 and labels (N,) int64 of a split, in order.

        Loads the data set if that has not been done. N is 0 for a split the set does not have.
        """
        images, labels, index = self._rows(split)
        if index is None:
            return images, labels
        return take_rows(images, index), take_rows(labels, index)

    def size(self, split: Split) -> int:
        """The number of images of a split, which `split` would have to copy to count."""
        return self._rows(split).size

    def train_dataloader(self) -> EndlessLoader:
        """Endless random batches of `images_per_step` images, from `images_seen` on."""
        rows = self._rows("train")
        if self.trainer and _fits(rows, self.trainer.strategy.root_device):
            rows = copied(rows, self.trainer.strategy.root_device)
        if self.class_balanced and not self.num_classes:
            raise ZooError(
                f"datamodule {self.name}: class_balanced=true needs classes, and there are none."
            )
        return TrainLoader(
            *rows,
            class_balanced=self.class_balanced,
            batch_size=self.batch_size,
            steps=self.d_steps,
            flip=self.flip,
            seed=self.seed,
            position=self.images_seen,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            repeated=self.repeated,
        )

    def val_dataloader(self) -> OrderedLoader:
        """The validation split in order, complete, on every process."""
        return OrderedLoader(*self._rows("val"), batch_size=self.batch_size)

    def test_dataloader(self) -> OrderedLoader:
        """The test split in order, complete, on every process."""
        return OrderedLoader(*self._rows("test"), batch_size=self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: `images_seen`, which with the seed fixes all that follows."""
        return {"images_seen": self.images_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at `state_dict["images_seen"]`."""
        self.images_seen = int(state_dict["images_seen"])

    def _load(self, part: Split) -> Rows:
        images, labels = self.load(part)
        if labels.shape != images.shape[:1]:
            raise ZooError(
                f"datamodule {self.name}: its split {part!r} has {len(images):,} images and labels "
                f"of the shape {tuple(labels.shape)}, and each image has one."
            )
        if self.num_classes and len(labels):
            least, most = (int(v) for v in labels.aminmax())
            if least < 0 or most >= self.num_classes:
                raise ZooError(
                    f"datamodule {self.name}: its split {part!r} has labels from {least} to {most},"
                    f" and its {self.num_classes} class_names are numbered from 0 to "
                    f"{self.num_classes - 1}."
                )
        return Rows(images.contiguous(), labels)

    def _rows(self, split: Split) -> Rows:
        if split not in SPLITS:
            raise ZooError(f"There is no split {split!r}: choose one of {', '.join(SPLITS)}.")
        if not self._splits:
            self.prepare_data()
            self.setup()
        return self._splits[split]


def fixed_order(size: int) -> Tensor:
    """A random order that is the same in every run, so that runs share their validation images."""
    return torch.randperm(size, generator=torch.Generator().manual_seed(0))


def _fits(rows: Rows, device: torch.device) -> bool:
    """Whether the split may lie on the device that trains on it."""
    if device.type != "cuda":
        return False
    size = rows.size * rows.images[:1].nbytes
    return size <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def copied(rows: Rows, device: torch.device) -> Rows:
    """The chosen rows alone on `device`, in their order."""
    if rows.chosen is None:
        return Rows(rows.images.to(device), rows.labels.to(device))
    images = torch.empty(rows.size, *rows.images.shape[1:], dtype=rows.images.dtype, device=device)
    # In parts: all at once, a mapped file of gigabytes would be held in memory a second time.
    for part, chosen in zip(images.split(ROWS), rows.chosen.split(ROWS), strict=True):
        part.copy_(take_rows(rows.images, chosen))
    return Rows(images, take_rows(rows.labels, rows.chosen).to(device))
