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
    """Return the mean squared difference of two outputs of D for the same images.

    Several scores of an image (patches or pixels) are averaged first, as in the loss: they move
    with the image, so comparing them place by place would be wrong.

    Args:
        one, other: D's outputs for the images and for transformed copies of them.
        extra: whether to add the differences of the heads' other outputs (logits, embeddings).
    """
    total = (image_scores(one.scores) - image_scores(other.scores)).square().mean()
    if extra:
        for name in sorted(n for n, value in one.extra.items() if value.dim() <= 2):
            total = total + (widen(one.extra[name]) - widen(other.extra[name])).square().mean()
    return total


@regularizer("cr")
class CR(Regularizer):
    """Consistency (CR): D should give a real image and its flipped, shifted copy the same score.

    Paper: Zhang et al. (2020), arXiv:1910.12027.

    weight * E[(D(x) - D(T(x)))^2], where T is a random flip and a shift by up to 1/8 of the side
    with reflected edges. The model's augmentation, if any, is applied after T, as it is before
    D(x).

    Args:
        weight: lambda, the weight of the penalty.
        extra: whether to penalise also the differences of the head's other outputs (class logits,
            embeddings), as StudioGAN does.
        every: apply the penalty to every k-th update of D, with k times the weight.
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
