"""The CIFAR-10 data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from zoo.data.sets.cifar import CIFARDataModule
from zoo.registry import at_least, datamodule

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]


@datamodule("cifar10")
class CIFAR10DataModule(CIFARDataModule):
    """60,000 small photographs of objects and animals in 10 classes, 32x32 RGB.

    Paper: Krizhevsky (2009), Learning multiple layers of features from tiny images.
    """

    features: ClassVar[str | None] = "cifar10"

    def __init__(
        self,
        image_size: Annotated[int, at_least(1)] | list[Annotated[int, at_least(1)]] = 32,
        batch_size: Annotated[int, at_least(1)] = 64,
        train_val_test_split: list[Annotated[int, at_least(0)]] = [50000, 0, 10000],  # noqa: B006
        flip: bool = True,
        class_balanced: bool = False,
        seed: int = 0,
        data_dir: str = "data",
    ) -> None:
        super().__init__(
            "cifar10",
            image_size=image_size,
            channels=3,
            class_names=CLASSES,
            batch_size=batch_size,
            flip=flip,
            train_val_test_split=train_val_test_split,
            class_balanced=class_balanced,
            seed=seed,
            data_dir=data_dir,
        )

    def reader(self) -> type[CIFAR10]:
        from torchvision.datasets import CIFAR10

        return CIFAR10
