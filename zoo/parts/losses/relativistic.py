"""The family of relativistic losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn.functional import relu, softplus

from zoo.contracts.loss import Loss
from zoo.core.distributed import gather_with_gradient
from zoo.core.errors import ZooError
from zoo.registry import loss

_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "bce": lambda lead: softplus(-lead),
    "least_squares": lambda lead: (lead - 1).square(),
    "hinge": lambda lead: relu(1 - lead),
}
"""The functions t of the lead of one score over another, by the option `kind`."""


@loss("relativistic")
class Relativistic(Loss):
    """Relativistic GAN: each score is judged only against scores of the opposite side.

    Paper: Jolicoeur-Martineau (2018), arXiv:1807.00734.

    With t(lead) = softplus(-lead), (lead - 1)^2 or relu(1 - lead), and means over the batch:

    - `average`: D: t(D(x) - mean D(G(z))) + t(mean D(x) - D(G(z))); G: the same with the sides
      exchanged, t(D(G(z)) - mean D(x)) + t(mean D(G(z)) - D(x)): RaGAN, RaLSGAN, RaHingeGAN.
    - `pair`: D: t(D(x) - D(G(z))); G: t(D(G(z)) - D(x)). Pairs share their index and class; with
      `bce` this is the loss `rpgan`.

    Means are taken over the images of all processes. Where D gives several scores per image, each
    is compared only with the scores at its own place. `average` is the sum of its two terms, as in
    the papers; the first author's code halves it, which changes the balance against penalties.

    Args:
        kind: the function t: `bce` is softplus, `least_squares` the square, `hinge` the hinge.
        center: what a score is compared with: the `pair`'s other score, or the other side's
            `average`.
        halved: whether to halve the sum of `average`, as the author's code does.
    """

    needs_real = True

    def __init__(
        self,
        kind: Literal["bce", "least_squares", "hinge"] = "bce",
        center: Literal["pair", "average"] = "average",
        halved: bool = False,
    ) -> None:
        if halved and center == "pair":
            raise ZooError(
                "loss relativistic: halved=true needs center=average, since a pair has one term."
            )
        self.kind = kind
        self.center = center
        self.factor = 0.5 if halved else 1.0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return self._compare(real, fake)

    def log_ratio(self, scores: Tensor) -> Tensor | None:
        return scores if (self.kind, self.center) == ("bce", "pair") else None

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ZooError(
                "loss relativistic: the generator's side needs the scores of real images."
            )
        return self._compare(fake, real)

    def _compare(self, higher: Tensor, lower: Tensor) -> Tensor:
        """Return the loss for `higher` failing to lead `lower`."""
        t = _LOSSES[self.kind]
        if self.center == "pair":
            return t(higher - lower)
        both = t(higher - _mean(lower)) + t(_mean(higher) - lower)
        return self.factor * both


def _mean(scores: Tensor) -> Tensor:
    """Return the mean over the images of all processes, (1, ...), differentiable in each image."""
    return gather_with_gradient(scores.mean(0, keepdim=True)).mean(0, keepdim=True)
