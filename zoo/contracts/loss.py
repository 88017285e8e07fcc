"""The adversarial loss on scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from zoo.contracts.regularizer import Regularizer


class Loss(nn.Module, ABC):
    """An adversarial loss on logits: values of the scores' shape, which the step averages.

    Attributes:
        needs_real: the generator's side needs the scores of real images (relativistic losses).
        schedulable: options that a schedule may change while training.
        claims_cuda_graph: as of a `Generator`.
    """

    needs_real: ClassVar[bool] = False
    schedulable: ClassVar[tuple[str, ...]] = ()
    claims_cuda_graph: ClassVar[bool] = True

    def __new__(cls, *args: Any, **options: Any) -> Self:
        # A loss is a line or two: its `__init__` need not call torch's.
        made = super().__new__(cls)
        nn.Module.__init__(made)
        return made

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of D for each pair of scores (M, ...) of real and of fake images."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Loss of G for each score (M, ...) of fakes (and of reals if `needs_real`)."""

    def log_ratio(self, scores: Tensor) -> Tensor | None:
        """log p_data / p_G, up to a constant, as the scores of the best D for this loss tell it.

        None where they do not tell: of hinge and Wasserstein losses that D's scores have another
        meaning. Samplers ask for it (`refine=`).
        """
        return None

    def regularizers(self) -> list[Regularizer]:
        """Penalties that belong to the method, so that naming the loss names the whole method."""
        return []
