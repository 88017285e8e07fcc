"""Mode seeking."""

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
    """Pushes images of different latents apart, against mode collapse.

    Paper: Mao et al. (2019), arXiv:1903.05628; Yang et al. (2019), arXiv:1901.09024.

    With a second batch of images of the same labels, and mean absolute differences per value:

    - `ratio` (the first paper): weight / (E|G(z) - G(z')| / E|z - z'| + 1e-5), means of the batch
      of all processes.
    - `bounded` (the second, diversity-sensitive): -weight * E[min(|G(z) - G(z')| / |z - z'|,
      limit)], pair by pair; its paper takes weight 8.

    Args:
        weight: lambda.
        form: see above.
        limit: tau of `bounded`.
        every: act on every k-th update of G, with k times the weight.
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
        one = update.generated
        other = update.generate(len(one.images), one.labels)
        images = (widen(one.images) - widen(other.images)).abs().flatten(1).mean(1)
        latents = (widen(one.z) - widen(other.z)).abs().flatten(1).mean(1)
        if self.form == "bounded":
            return -self.weight * (images / latents).clamp(max=self.limit).mean()
        far = gather_with_gradient(images).mean()
        return self.weight / (far / gather_with_gradient(latents).mean() + _FLOOR)
