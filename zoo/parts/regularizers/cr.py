"""Consistency regularization."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, image_scores, widen
from zoo.layers.pixels import flip_and_shift
from zoo.registry import at_least, regularizer


def disagreement(one: DiscriminatorOutput, other: DiscriminatorOutput, extra: bool) -> Tensor:
    """The mean squared difference of what D said twice; with `extra` also of what heads read.

    Of several scores of an image it is that of their mean, as in the loss: scores of patches and
    maps of pixels move with the image, so that they are not to be compared place by place.
    """
    total = (image_scores(one.scores) - image_scores(other.scores)).square().mean()
    if extra:
        for name in sorted(n for n, value in one.extra.items() if value.dim() <= 2):
            total = total + (widen(one.extra[name]) - widen(other.extra[name])).square().mean()
    return total


@regularizer("cr")
class CR(Regularizer):
    """Consistency: D says the same of a real image and of the same image flipped and shifted.

    Paper: Zhang et al. (2020), arXiv:1910.12027.

    weight * E[(D(x) - D(T(x)))^2], T a random flip and a shift by up to 1/8 of the side with
    reflected edges. An augmentation of the step comes after T as it does before D(x).

    Args:
        weight: lambda.
        extra: also hold what the head reads besides the score (class logits, embeddings), as
            StudioGAN does.
        every: act on every k-th update of D, with k times the weight.
    """

    schedulable = ("weight",)

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 10.0,
        extra: bool = False,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.weight = weight
        self.extra = extra

    def forward(self, update: Update) -> Tensor:
        assert update.real_output is not None  # an update of D always has it
        changed = update.discriminate(flip_and_shift(update.real.detach()), update.labels)
        return self.weight * disagreement(update.real_output, changed, self.extra)
