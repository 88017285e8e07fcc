"""The base class of adversarial losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

from torch import Tensor, nn

from zoo.contracts.regularizer import Regularizer


class Loss(nn.Module, ABC):
    """An adversarial loss on D's logits.

    Both methods return one value per score; the training step averages them.

    Attributes:
        needs_real: Whether `generator` needs the scores of real images (relativistic losses).
        schedulable: The options that a schedule may change during training.
        claims_cuda_graph: See `Generator`.
    """

    needs_real: ClassVar[bool] = False
    schedulable: ClassVar[tuple[str, ...]] = ()
    claims_cuda_graph: ClassVar[bool] = True

    def __new__(cls, *args: Any, **options: Any) -> Self:
        # Initialized here, so that a short loss need not call `super().__init__` itself.
        loss = super().__new__(cls)
        nn.Module.__init__(loss)
        return loss

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the loss of D for each pair of scores (M, ...) of a real and a fake image."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Return the loss of G for each score (M, ...) of a fake image.

        Args:
            fake: Scores of the fakes.
            real: Scores of real images of the same shape; given if `needs_real`.
        """

    def log_ratio(self, scores: Tensor) -> Tensor | None:
        """Return log(p_data / p_G), up to a constant, from the scores of an optimal D.

        None if scores under this loss do not determine the density ratio, as with hinge and
        Wasserstein losses. Samplers use it to refine latents (`refine=`).
        """
        return None

    def regularizers(self) -> list[Regularizer]:
        """Return the penalties that are part of the method, such as WGAN-GP's gradient penalty.

        They are added whenever this loss is chosen.
        """
        return []
