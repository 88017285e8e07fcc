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
    """Fine-tuning with D's first layers frozen, for few images of a new kind.

    Paper: Mo et al. (2020), arXiv:2002.10964.

    The first `stages` of what D names as its stages, from the image on, keep the weights that they
    start with; the head always learns. It makes sense from the weights of another training only:
    `model.start=RUN model/regularizer=freeze_d`.

    Args:
        stages: how many.
    """

    def __init__(self, stages: Annotated[int, at_least(1)] = 1) -> None:
        super().__init__()
        self.stages = stages

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        found = discriminator.stages()
        if self.stages > len(found):
            raise ZooError(
                f"regularizer freeze_d: stages={self.stages} is more than the {len(found)} of "
                f"{type(discriminator).__name__}."
            )
        for stage in found[: self.stages]:
            stage.requires_grad_(False)
