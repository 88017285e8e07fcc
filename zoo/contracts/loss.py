"""What an adversarial loss is: scores to values that the step averages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from zoo.contracts.regularizer import Regularizer


class Loss(ABC):
    """An adversarial loss on logits: per-sample values, which the step averages.

    Attributes:
        needs_real: the generator's side needs the scores of real images (relativistic losses).
        claims_cuda_graph: as of a `Generator`.
    """

    needs_real: ClassVar[bool] = False
    claims_cuda_graph: ClassVar[bool] = True

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of D per pair, (N,), from the scores (N,) of real and of fake images."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Loss of G per image, (N,), from the scores (N,) of fakes (and reals if `needs_real`)."""

    def regularizers(self) -> list[Regularizer]:
        """Penalties that belong to the method, so that naming the loss names the whole method."""
        return []
