"""Mode-seeking and diversity-sensitive regularization."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.core.distributed import gather_with_gradient
from zoo.registry import above, at_least, idle_when, regularizer

_FLOOR = 1e-5


@regularizer("mode_seeking")
class ModeSeeking(Regularizer):
    """Mode seeking: pushes images of different latents apart, against mode collapse.

    Paper: Mao et al. (2019), arXiv:1903.05628; Yang et al. (2019), arXiv:1901.09024.

    With a second batch G(z') of the same labels and mean absolute differences per value:

    - `ratio` (the first paper): weight / (E|G(z) - G(z')| / E|z - z'| + 1e-5), with means over the
      batch of all processes.
    - `bounded` (the second, diversity-sensitive GAN): -weight * E[min(|G(z) - G(z')| / |z - z'|,
      limit)], pair by pair; that paper uses weight 8.

    Args:
        weight: lambda, the weight of the term.
        form: `ratio` or `bounded`, see above.
        limit: tau, the bound of `bounded`.
        every: apply the term to every k-th update of G, with k times the weight.
    """

    sides = ("generator",)
    schedulable = ("weight",)

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 1.0,
        form: Literal["ratio", "bounded"] = "ratio",
        limit: Annotated[float, above(0), idle_when(form="ratio")] = 10.0,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.weight = weight
        self.form = form
        self.limit = limit

    def forward(self, update: Update) -> Tensor:
        first = update.generated
        second = update.generate(len(first.images), first.labels)
        images = (widen(first.images) - widen(second.images)).abs().flatten(1).mean(1)
        latents = (widen(first.z) - widen(second.z)).abs().flatten(1).mean(1)
        if self.form == "bounded":
            return -self.weight * (images / latents).clamp(max=self.limit).mean()
        distance = gather_with_gradient(images).mean()
        return self.weight / (distance / gather_with_gradient(latents).mean() + _FLOOR)
