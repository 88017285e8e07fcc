"""The CIFAR-100 data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from zoo.data.sets.cifar import CIFARDataModule
from zoo.registry import at_least, datamodule

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange
orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit
raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel
streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip
turtle wardrobe whale willow_tree wolf woman worm
"""


@datamodule("cifar100")
class CIFAR100DataModule(CIFARDataModule):
    """60,000 small photographs in 100 classes, 32x32 RGB.

    Paper: Krizhevsky (2009), Learning multiple layers of features from tiny images.
    """

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
            "cifar100",
            image_size=image_size,
            channels=3,
            class_names=CLASSES.split(),
            batch_size=batch_size,
            flip=flip,
            train_val_test_split=train_val_test_split,
            class_balanced=class_balanced,
            seed=seed,
            data_dir=data_dir,
        )

    def reader(self) -> type[CIFAR10]:
        from torchvision.datasets import CIFAR100

        return CIFAR100
