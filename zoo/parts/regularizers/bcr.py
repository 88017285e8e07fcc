"""Balanced consistency regularization."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.layers.pixels import flip_and_shift
from zoo.parts.regularizers.cr import disagreement
from zoo.registry import at_least, regularizer


@regularizer("bcr")
class BCR(Regularizer):
    """Balanced consistency (bCR): the consistency penalty of `cr` on both reals and fakes.

    Together with `zcr` this is ICR, the paper's full method.

    Paper: Zhao et al. (2021), arXiv:2002.04724.

    real * E[(D(x) - D(T(x)))^2] + fake * E[(D(G(z)) - D(T(G(z))))^2], with T as in `cr`.

    Args:
        real, fake: lambda, the weight of the penalty on each side.
        extra: as in `cr`.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    schedulable = ("real", "fake")

    def __init__(
        self,
        real: Annotated[float, at_least(0)] = 10.0,
        fake: Annotated[float, at_least(0)] = 10.0,
        extra: bool = False,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.real = real
        self.fake = fake
        self.extra = extra

    def forward(self, update: Update) -> Tensor:
        assert update.real_output is not None  # an update of D always has it
        sides = (
            (self.real, update.real, update.real_output),
            (self.fake, update.generated.images, update.fake_output),
        )
        terms = []
        for weight, images, output in sides:
            changed = update.discriminate(flip_and_shift(images.detach()), update.labels)
            terms.append(weight * disagreement(output, changed, self.extra))
        return terms[0] + terms[1]
