"""The base class of MNIST and of other data sets in its file format."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.data.base import DataModule, Split
from zoo.data.download import Source
from zoo.data.pixels import fit_digits

if TYPE_CHECKING:
    from torchvision.datasets import MNIST


class IdxDataModule(DataModule):
    """A data set of 28x28 grey images in four idx files, `<data_dir>/<Name>/raw/*-ubyte`."""

    @abstractmethod
    def reader(self) -> type[MNIST]:
        """Return torchvision's class for the data set, whose name is also that of the folder."""

    def download(self) -> None:
        reader = self.reader()
        self._source(reader).fetch(lambda: reader(self.data_dir, download=True))

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        reader = self.reader()
        data = self._source(reader).read(lambda: reader(self.data_dir, train=split == "train"))
        return fit_digits(data.data.unsqueeze(1), self.image_size), data.targets.long()

    def _source(self, reader: type[MNIST]) -> Source:
        folder = self.data_dir / reader.__name__ / "raw"
        return Source(
            f"datamodule {self.name}",
            [folder / Path(file).stem for file, _ in reader.resources],
            [mirror + reader.resources[0][0] for mirror in reader.mirrors],
            instead="mnist_subset, which comes with the zoo (datamodule=mnist_subset in training, "
            "dataset=mnist_subset in task=evaluate and task=explore)",
        )
