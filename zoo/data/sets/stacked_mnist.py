"""The Stacked MNIST data set, whose thousand modes show how many a GAN drops."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.data.base import DataModule, Split
from zoo.data.loader import take_rows
from zoo.data.sets.mnist import MNISTDataModule
from zoo.data.sets.mnist_subset import MNISTSubset
from zoo.registry import at_least, datamodule


@datamodule("stacked_mnist")
class StackedMNIST(DataModule):
    """Three random digits as red, green and blue: 1000 modes, to count those that a GAN drops.

    There are no classes to condition on; the labels are the modes, 100 r + 10 g + b.

    Args:
        image_size: the side, or [height, width], in pixels: 28 as in the papers, or another size
            as for `mnist`.
        source: "mnist", or "mnist_subset", which needs no download.
        train_val_test_split: the number of stacks in each split. They are drawn with replacement
            from the digits of that split of the source, the same for every seed.

    Paper: Metz, Poole, Pfau, Sohl-Dickstein (2016), arXiv:1611.02163.
    """

    own_parts: tuple[Split, ...] = ("train", "val", "test")

    features: ClassVar[str | None] = "mnist"
    samples: ClassVar[int] = 26_000

    def __init__(
        self,
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 28,
        batch_size: Annotated[int, at_least(1)] = 64,
        source: Literal["mnist", "mnist_subset"] = "mnist",
        train_val_test_split: list[Annotated[int, at_least(0)]] = [128000, 0, 26000],  # noqa: B006
        flip: bool = False,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            "stacked_mnist",
            image_size=image_size,
            channels=3,
            class_names=[],
            batch_size=batch_size,
            flip=flip,
            train_val_test_split=train_val_test_split,
            seed=seed,
            data_dir=data_dir,
        )
        source_class = MNISTDataModule if source == "mnist" else MNISTSubset
        self.digits = source_class(image_size=image_size, data_dir=data_dir)
        self.sizes = dict(zip(("train", "val", "test"), train_val_test_split, strict=True))
        self.train_val_test_split = None  # `load` returns splits of exactly these sizes

    def download(self) -> None:
        self.digits.download()

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        images, labels = self.digits.split(split)
        if self.sizes[split] and not len(images):
            raise ZooError(
                f"datamodule stacked_mnist: train_val_test_split={list(self.sizes.values())} asks "
                f"for {self.sizes[split]} stacks of the {split} split, but {self.digits.name} has "
                "no images in that split: ask for 0."
            )
        generator = torch.Generator().manual_seed(self.own_parts.index(split))
        rows = torch.randint(max(1, len(images)), (self.sizes[split], 3), generator=generator)
        modes = labels[rows] @ torch.tensor([100, 10, 1])
        stacks = take_rows(images.squeeze(1), rows.flatten())
        return stacks.unflatten(0, (self.sizes[split], 3)), modes
