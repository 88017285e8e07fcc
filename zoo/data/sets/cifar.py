"""The base class of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from zoo.data.base import DataModule, Split
from zoo.data.download import Source
from zoo.data.pixels import fit

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10


class CIFARDataModule(DataModule):
    """A data set of 32x32 RGB images in the file format of CIFAR, read with torchvision."""

    @abstractmethod
    def reader(self) -> type[CIFAR10]:
        """Return torchvision's class for the data set."""

    def download(self) -> None:
        reader = self.reader()
        self._source(reader).fetch(lambda: reader(self.data_dir, download=True))

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        reader = self.reader()
        data = self._source(reader).read(lambda: reader(self.data_dir, train=split == "train"))
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        return fit(images, self.image_size), torch.tensor(data.targets)

    def _source(self, reader: type[CIFAR10]) -> Source:
        folder = self.data_dir / reader.base_folder
        names = [name for name, _ in [*reader.train_list, *reader.test_list]]
        return Source(
            f"datamodule {self.name}",
            [folder / name for name in [*names, reader.meta["filename"]]],
            [reader.url],
            instead="datamodule=mnist_subset, which comes with the zoo",
        )
