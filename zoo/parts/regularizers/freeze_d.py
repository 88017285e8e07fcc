"""FreezeD."""

from __future__ import annotations

from typing import Annotated

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.regularizer import Regularizer
from zoo.core.errors import ZooError
from zoo.registry import at_least, regularizer


@regularizer("freeze_d")
class FreezeD(Regularizer):
    """FreezeD: freezes D's first layers, for fine-tuning on few images of a new domain.

    Paper: Mo et al. (2020), arXiv:2002.10964.

    The first `stages` of D's stages, counted from the image, keep their initial weights; the head
    is always trained. This makes sense only when starting from the weights of an earlier training:
    `model.start=RUN model/regularizer=freeze_d`.

    Args:
        stages: number of stages to freeze.
    """

    def __init__(self, stages: Annotated[int, at_least(1)] = 1) -> None:
        super().__init__()
        self.stages = stages

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        stages = discriminator.stages()
        if self.stages > len(stages):
            raise ZooError(
                f"regularizer freeze_d: stages={self.stages} is more than the {len(stages)} "
                f"stage{'s' * (len(stages) != 1)} of {type(discriminator).__name__}."
            )
        for stage in stages[: self.stages]:
            stage.requires_grad_(False)
