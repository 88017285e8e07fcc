"""Feature matching."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.core.distributed import gather_with_gradient
from zoo.registry import at_least, regularizer


def mean_features(features: Tensor) -> Tensor:
    """Return the mean feature vector (F,) over the images of all processes, in fp32 at least."""
    own = widen(features).flatten(1).mean(0, keepdim=True)
    return gather_with_gradient(own).mean(0)


@regularizer("feature_matching")
class FeatureMatching(Regularizer):
    """Feature matching: G matches the mean of D's features on real images.

    Paper: Salimans et al. (2016), arXiv:1606.03498.

    weight * sum over features of (mean phi(x) - mean phi(G(z)))^2; with `distance=absolute` the
    mean over features of the absolute difference, as in some implementations. The term is added to
    G's loss; in the paper it replaces that loss.

    Args:
        weight: lambda, the weight of the term.
        distance: `squared` or `absolute`, see above.
        every: apply the term to every k-th update of G, with k times the weight.
    """

    sides = ("generator",)
    needs_real = True
    schedulable = ("weight",)

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 1.0,
        distance: Literal["squared", "absolute"] = "squared",
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.weight = weight
        self.distance = distance

    def forward(self, update: Update) -> Tensor:
        assert update.real_output is not None  # guaranteed by `needs_real`
        real = mean_features(update.real_output.features.detach())
        gap = real - mean_features(update.fake_output.features)
        return self.weight * (
            gap.square().sum() if self.distance == "squared" else gap.abs().mean()
        )
