"""The Fashion-MNIST data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from zoo.data.sets.digits import IdxDataModule
from zoo.registry import at_least, datamodule

if TYPE_CHECKING:
    from torchvision.datasets import MNIST


@datamodule("fashion_mnist")
class FashionMNISTDataModule(IdxDataModule):
    """70,000 pieces of clothing in grey, 28x28, which a border of zeros extends to 32x32.

    Paper: Xiao, Rasul, Vollgraf (2017), arXiv:1708.07747.
    """

    features: ClassVar[str | None] = "fashion_mnist"

    def __init__(
        self,
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 32,
        batch_size: Annotated[int, at_least(1)] = 64,
        train_val_test_split: list[Annotated[int, at_least(0)]] = [55000, 5000, 10000],  # noqa: B006
        flip: bool = False,
        class_balanced: bool = False,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            "fashion_mnist",
            image_size=image_size,
            channels=1,
            class_names=self.reader().classes,
            batch_size=batch_size,
            flip=flip,
            train_val_test_split=train_val_test_split,
            class_balanced=class_balanced,
            seed=seed,
            data_dir=data_dir,
        )

    def reader(self) -> type[MNIST]:
        from torchvision.datasets import FashionMNIST

        return FashionMNIST
