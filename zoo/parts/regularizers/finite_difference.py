"""R1 and R2 by finite differences instead of derivatives."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, image_scores, widen
from zoo.layers.precision import full_precision
from zoo.layers.randoms import slopes
from zoo.registry import above, at_least, at_most, regularizer


def mean_square_slope(
    update: Update, side: Literal["real", "fake"], distance: float, share: float = 1.0
) -> Tensor:
    """Return E[((D(x + h e) - D(x)) / h)^2], e ~ N(0, I), computed in fp32.

    Several scores of an image are averaged, as in the loss. If all images are used, D(x) is taken
    from the step's own pass where that is available.

    Args:
        update: the current update of D.
        side: whether x are the real or the generated images.
        distance: h, the size of the step.
        share: fraction of the images to use, from the start of the batch; at least two are used.
    """
    images = update.real if side == "real" else update.generated.images
    output = update.real_output if side == "real" else update.fake_output
    first_pass = None
    if share == 1 and side in update.randoms and output is not None:
        first_pass = image_scores(output.scores), update.randoms[side]
    pack = len(images) // len(update.fake_output.scores)
    packs = len(images) // pack
    n = min(packs, max(2, round(packs * share))) * pack  # batch norm needs at least two
    labels = None if update.labels is None else update.labels[:n]

    def score(x: Tensor) -> Tensor:
        return image_scores(update.discriminate(x, labels).scores)

    with full_precision(images.device):
        return slopes(score, widen(images[:n]), distance, first_pass).square().mean()


@regularizer("finite_difference")
class FiniteDifference(Regularizer):
    """R1 and R2 by finite differences: no double backward pass, so that it can be compiled.

    Paper: Lin et al. (2025), arXiv:2501.08316; used by adversarial flow models, arXiv:2511.22475.

    gamma/2 * E[((D(x + sigma n) - D(x)) / sigma)^2] with n ~ N(0, I), whose expectation over n is
    R1 for small sigma, and the same on fakes for R2. Computed in fp32 and through the augmentation;
    both passes use the same random numbers in the augmentation and in D.

    Args:
        gamma: strength on real images, as in `r1`.
        gamma_fake: strength on generated images; null for the same as on real ones.
        sigma: size of the step, in units of the images' range [-1, 1].
        share: fraction of the batch to use.
        every: apply the penalty to every k-th update of D, with k times the weight.
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
            self.repeats = ("real", "fake")  # type: ignore[misc]  # per instance, not per class

    def forward(self, update: Update) -> Tensor:
        gamma_fake = self.gamma if self.gamma_fake is None else self.gamma_fake
        real = mean_square_slope(update, "real", self.sigma, self.share)
        fake = mean_square_slope(update, "fake", self.sigma, self.share)
        return 0.5 * self.gamma * real + 0.5 * gamma_fake * fake
