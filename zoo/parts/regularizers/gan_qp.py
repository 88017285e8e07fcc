"""The penalty of GAN-QP."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.registry import above, at_least, regularizer

_LEAST = 1e-6
"""Mean distance up to which the two images of a pair count as the same image."""


@regularizer("gan_qp")
class GANQPPenalty(Regularizer):
    """Quadratic potential (GAN-QP): squared score difference over image distance, pair by pair.

    Paper: Su (2018), arXiv:1811.07296.

    E[(D(x) - D(G(z)))^2 / (2 scale d(x, G(z)))] over pairs at the same index; no second derivative.
    A pair of identical images, as `apa` produces, contributes nothing: since two draws of an
    augmentation can give it two scores, its difference would otherwise be divided by 0.

    Args:
        scale: lambda.
        distance: d: `l1`, the mean absolute difference of the images, or `l2`, the root of the mean
            squared difference.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    schedulable = ("scale",)

    def __init__(
        self,
        scale: Annotated[float, above(0)] = 10.0,
        distance: Literal["l1", "l2"] = "l1",
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.scale = scale
        self.distance = distance

    def forward(self, update: Update) -> Tensor:
        assert update.real_output is not None  # an update of D always has it
        lead = update.real_output.scores - update.fake_output.scores
        lead = lead.reshape(len(lead), -1)
        distances = self._distances(update, len(lead))
        terms = lead.square() / (2 * self.scale * distances.clamp_min(_LEAST))
        return torch.where(distances > _LEAST, terms, 0.0).mean()

    def _distances(self, update: Update, pairs: int) -> Tensor:
        """Return the distances of the pairs, (M, 1); a pack of images counts as one image."""
        real, fake = update.real.detach(), update.generated.images.detach()
        difference = (widen(real) - widen(fake)).reshape(pairs, -1)
        if self.distance == "l1":
            return difference.abs().mean(1, keepdim=True)
        return difference.square().mean(1, keepdim=True).sqrt()
