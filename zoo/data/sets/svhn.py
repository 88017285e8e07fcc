"""The SVHN data set (Street View House Numbers)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.data.base import DataModule, Split
from zoo.data.download import Source
from zoo.data.pixels import fit
from zoo.registry import at_least, datamodule


@datamodule("svhn")
class SVHNDataModule(DataModule):
    """99,289 digits cut from photographs of house numbers, 32x32 RGB.

    Paper: Netzer, Wang, Coates, Bissacco, Wu, Ng (2011), Reading digits in natural images with
    unsupervised feature learning.
    """

    def __init__(
        self,
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 32,
        batch_size: Annotated[int, at_least(1)] = 64,
        train_val_test_split: list[Annotated[int, at_least(0)]] = [73257, 0, 26032],  # noqa: B006
        flip: bool = False,
        class_balanced: bool = False,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            "svhn",
            image_size=image_size,
            channels=3,
            class_names=[str(digit) for digit in range(10)],
            batch_size=batch_size,
            flip=flip,
            train_val_test_split=train_val_test_split,
            class_balanced=class_balanced,
            seed=seed,
            data_dir=data_dir,
        )

    def download(self) -> None:
        from torchvision.datasets import SVHN

        self._source().fetch(
            lambda: [SVHN(self.data_dir, split=part, download=True) for part in self.own_parts]
        )

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        from torchvision.datasets import SVHN

        data = self._source().read(lambda: SVHN(self.data_dir, split=split))
        images = torch.from_numpy(data.data).contiguous()
        return fit(images, self.image_size), torch.from_numpy(data.labels)

    def _source(self) -> Source:
        from torchvision.datasets import SVHN

        return Source(
            f"datamodule {self.name}",
            [self.data_dir / SVHN.split_list[part][1] for part in self.own_parts],
            [SVHN.split_list["train"][0]],
            instead="datamodule=mnist_subset, which comes with the zoo",
        )
