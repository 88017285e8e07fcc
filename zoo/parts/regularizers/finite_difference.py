"""R1 and R2 without derivatives."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, full_precision, image_scores, widen
from zoo.layers.randoms import slopes
from zoo.registry import above, at_least, at_most, regularizer


def mean_square_slope(
    update: Update, side: Literal["real", "fake"], distance: float, share: float = 1.0
) -> Tensor:
    """E[((D(x + h e) - D(x)) / h)^2] over the first `share` of images, h = `distance`.

    Over two images at least, and in fp32; of several scores of an image D is the mean, as in the
    loss. Of all images D(x) is the step's own, if it can be had.
    """
    images = update.real if side == "real" else update.generated.images
    output = update.real_output if side == "real" else update.fake_output
    known = None
    if share == 1 and side in update.randoms and output is not None:
        known = image_scores(output.scores), update.randoms[side]
    pack = len(images) // len(update.fake_output.scores)
    packs = len(images) // pack
    n = min(packs, max(2, round(packs * share))) * pack  # of one, batch norm knows no variance
    labels = None if update.labels is None else update.labels[:n]

    def score(x: Tensor) -> Tensor:
        return image_scores(update.discriminate(x, labels).scores)

    with full_precision(images.device):
        return slopes(score, widen(images[:n]), distance, known).square().mean()


@regularizer("finite_difference")
class FiniteDifference(Regularizer):
    """R1 and R2 by finite differences: no double backward pass, so that it compiles.

    Paper: Lin et al. (2025), arXiv:2501.08316; used by adversarial flow models, arXiv:2511.22475.

    gamma/2 * E[((D(x + sigma n) - D(x)) / sigma)^2] with n ~ N(0, I), whose mean over n is R1 for
    small sigma; the same on fakes for R2. In fp32, through the augmentation, both passes with the
    same random numbers of augmentations and of D.

    Args:
        gamma: strength on real images, as in `r1`.
        gamma_fake: strength on generated images; null for that on real ones.
        sigma: size of the step, in units of the images' [-1, 1].
        share: part of the batch that is used.
        every: act on every k-th update of D, with k times the weight.
    """

    schedulable = ("gamma", "gamma_fake")
    flattens = "gamma"

    def __init__(
        self,
        gamma: Annotated[float, at_least(0)] = 0.1,
        gamma_fake: Annotated[float, at_least(0)] | None = None,
        sigma: Annotated[float, above(0)] = 0.01,
        share: Annotated[float, above(0), at_most(1)] = 1.0,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.gamma = gamma
        self.gamma_fake = gamma_fake
        self.sigma = sigma
        self.share = share
        if share == 1:
            self.repeats = ("real", "fake")  # type: ignore[misc]  # this object's own

    def forward(self, update: Update) -> Tensor:
        gamma_fake = self.gamma if self.gamma_fake is None else self.gamma_fake
        real = mean_square_slope(update, "real", self.sigma, self.share)
        fake = mean_square_slope(update, "fake", self.sigma, self.share)
        return 0.5 * self.gamma * real + 0.5 * gamma_fake * fake
