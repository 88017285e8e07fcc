"""The base class of all data modules, which provides splits, loaders and resuming.

A complete data set takes about 15 lines, for instance in `plugins/blobs.py`:

    import torch
    from zoo.data.base import DataModule
    from zoo.registry import datamodule

    @datamodule("blobs")
    class Blobs(DataModule):
        '''Grey squares in ten shades.'''

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

# Annotations are evaluated here, as in zoo/contracts/outputs.py, because the API pages show Rows.

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
"""The share of a CUDA device's free memory that training images may take up. A split that fits is
kept on the device, so that no batch has to be copied."""
ROWS = 4096
"""The number of images copied to the device at a time."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class Rows(NamedTuple):
    """The images and labels of a split.

    Args:
        images: (N, C, H, W).
        labels: int64 (N,).
        chosen: int64 indices of the rows that belong to the split; None if all do.
    """

    images: Tensor
    labels: Tensor
    chosen: Tensor | None = None

    @property
    def size(self) -> int:
        """The number of images in the split."""
        return len(self.images) if self.chosen is None else len(self.chosen)


class DataModule(pl.LightningDataModule):
    """A data set in memory: uint8 images of one size (or floats in [-1, 1]), and int64 labels.

    A subclass defines `load`, and `download` if there is something to download. Batches are pairs
    `(images, labels)`: uint8 (B, C, H, W) in [0, 255] and int64 (B,);
    `zoo.data.pixels.to_float` converts the images to floats on the device.

    Args:
        name: the name under which the data set is registered.
        image_size: the side of the images that `load` returns, or their (height, width).
        channels: the number of channels C of these images.
        class_names: one name per class; an empty list for data without classes.
        batch_size: the number of images in one update, over all processes together.
        flip: whether to mirror training images left-right at random.
        train_val_test_split: the number of images in each split. Training and validation images
            are chosen from the data set's own training part, test images from its test part; the
            choice is the same for every seed. None keeps the data set's own parts.
        seed: the seed of the order and the flips; 0 or more.
        data_dir: the folder that holds data sets.
        class_balanced: whether to draw a class for each training image, all equally likely, and
            then an image of that class. Metrics such as the FID still compare with the class
            proportions of the data set.

    Attributes:
        notes: sentences about anything that may surprise the user.
        kept_options: options that were determined from the data rather than set by the user, and
            that checkpoints keep.
        d_steps: the number of discriminator updates whose images one training batch holds. Set it
            before calling `train_dataloader`.
        repeated: the number of batches, from the first on, that training repeats over and over;
            None to train on the whole data set. Set it before calling `train_dataloader`.
        images_seen: the number of training images consumed so far, over all processes. The
            training loop sets it to what was trained on, not to what was fetched; the loader
            starts from it and checkpoints keep it.
        own_parts: the splits that `load` accepts.
        features: the name of a feature network trained on this data set; None selects a general
            one.
        samples: the number of generated images used for metrics, unless set otherwise.
        centers: the centres (K, 2) of the modes for points in the plane, shown in plots; None for
            images.
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
                "class_balanced=true: training draws every class equally often; task=evaluate "
                "still generates classes in the proportions of the data."
            )
        self.d_steps = 1
        self.repeated: int | None = None
        self.images_seen = 0
        self._splits: dict[str, Rows] = {}

    @property
    def height(self) -> int:
        """The height of the images in pixels."""
        return height_width(self.image_size)[0]

    @property
    def width(self) -> int:
        """The width of the images in pixels."""
        return height_width(self.image_size)[1]

    @property
    def num_classes(self) -> int:
        """The number of classes; 0 for data without classes."""
        return len(self.class_names)

    @property
    def images_per_step(self) -> int:
        """The number of images in one training batch over all processes, `d_steps * batch_size`."""
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
        """Return the images and labels of one of `own_parts`.

        A data set that comes with a "val" split lists it in `own_parts` and leaves
        `train_val_test_split` at None.

        Returns:
            Images (N, C, height, width) uint8 and labels (N,) int64.
        """

    def download(self) -> None:
        """Download the files that are missing; called once per machine before `load`."""

    def prepare_data(self) -> None:
        """Download the data set. Lightning calls this hook in one process only."""
        self.download()

    def setup(self, stage: str | None = None) -> None:
        """Load the images once and split them. Lightning calls this hook in every process.

        Raises:
            ZooError: the data set is missing or damaged or has fewer images than
                `train_val_test_split` needs, or its labels do not match its images.
        """
        if self._splits:
            return
        parts = {part: self._load(part) for part in self.own_parts}
        empty = parts["train"]._replace(chosen=torch.arange(0))
        if self.train_val_test_split is None:
            self._splits = {split: parts.get(split, empty) for split in SPLITS}
            return
        train, val, test = self.train_val_test_split
        own, held_out = parts["train"], parts.get("test", empty)
        if train + val > own.size or test > held_out.size:
            raise ZooError(
                f"datamodule {self.name}: train_val_test_split={self.train_val_test_split} asks "
                f"for {train + val} images for training and validation and {test} for testing, "
                f"but there are {own.size} and {held_out.size}."
            )
        order = fixed_order(own.size)
        self._splits = {
            "train": own._replace(chosen=order[:train].sort().values),
            "val": own._replace(chosen=order[train : train + val].sort().values),
            "test": empty,
        }
        if test:
            chosen = fixed_order(held_out.size)[:test].sort().values
            self._splits["test"] = held_out._replace(chosen=chosen)

    def split(self, split: Split) -> tuple[Tensor, Tensor]:
        """Return all images (N, C, H, W) uint8 and labels (N,) int64 of a split, in order.

        The data set is loaded first if necessary. N is 0 for a split that the data set lacks.
        """
        images, labels, index = self._rows(split)
        if index is None:
            return images, labels
        return take_rows(images, index), take_rows(labels, index)

    def size(self, split: Split) -> int:
        """Return the number of images in a split without copying them."""
        return self._rows(split).size

    def train_dataloader(self) -> EndlessLoader:
        """Return a loader of endless random batches of `images_per_step` images.

        It starts at the position `images_seen`.
        """
        rows = self._rows("train")
        if self.trainer and _fits(rows, self.trainer.strategy.root_device):
            rows = copied(rows, self.trainer.strategy.root_device)
        if self.class_balanced and not self.num_classes:
            raise ZooError(
                f"datamodule {self.name}: class_balanced=true needs classes, but there are none."
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
        """Return a loader of the whole validation split in order, the same in every process."""
        return OrderedLoader(*self._rows("val"), batch_size=self.batch_size)

    def test_dataloader(self) -> OrderedLoader:
        """Return a loader of the whole test split in order, the same in every process."""
        return OrderedLoader(*self._rows("test"), batch_size=self.batch_size)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint.

        `images_seen` is enough: together with the seed it determines all batches that follow.
        """
        return {"images_seen": self.images_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue at the position `state_dict["images_seen"]`."""
        self.images_seen = int(state_dict["images_seen"])

    def _load(self, part: Split) -> Rows:
        images, labels = self.load(part)
        if labels.shape != images.shape[:1]:
            raise ZooError(
                f"datamodule {self.name}: its split {part!r} has {len(images):,} images and labels "
                f"of the shape {tuple(labels.shape)}; there must be one label per image, (N,)."
            )
        if self.num_classes and len(labels):
            least, most = (int(v) for v in labels.aminmax())
            if least < 0 or most >= self.num_classes:
                raise ZooError(
                    f"datamodule {self.name}: its split {part!r} has labels from {least} to {most},"
                    f" but its {self.num_classes} class_names are numbered from 0 to "
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
    """Return a random permutation that is the same in every run.

    All runs thus share their validation images.
    """
    return torch.randperm(size, generator=torch.Generator().manual_seed(0))


def _fits(rows: Rows, device: torch.device) -> bool:
    """Whether the split is small enough to be kept on the device that trains on it."""
    if device.type != "cuda":
        return False
    size = rows.size * rows.images[:1].nbytes
    return size <= DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]


def copied(rows: Rows, device: torch.device) -> Rows:
    """Copy the chosen rows, and only these, to `device` in their order."""
    if rows.chosen is None:
        return Rows(rows.images.to(device), rows.labels.to(device))
    images = torch.empty(rows.size, *rows.images.shape[1:], dtype=rows.images.dtype, device=device)
    # Copied in parts, since a single copy would hold a memory-mapped file of gigabytes in memory
    # twice.
    for part, chosen in zip(images.split(ROWS), rows.chosen.split(ROWS), strict=True):
        part.copy_(take_rows(rows.images, chosen))
    return Rows(images, take_rows(rows.labels, rows.chosen).to(device))
