"""The relativistic family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn.functional import relu, softplus

from zoo.contracts.loss import Loss
from zoo.core.distributed import gather_with_gradient
from zoo.core.errors import ZooError
from zoo.registry import loss

_LACK: dict[str, Callable[[Tensor], Tensor]] = {
    "bce": lambda lead: softplus(-lead),
    "least_squares": lambda lead: (lead - 1).square(),
    "hinge": lambda lead: relu(1 - lead),
}
"""What is to be paid where one score leads another by too little."""


@loss("relativistic")
class Relativistic(Loss):
    """Relativistic GAN: a score counts only against scores of the other side.

    Paper: Jolicoeur-Martineau (2018), arXiv:1807.00734.

    With t(lead) = softplus(-lead), (lead - 1)^2 or relu(1 - lead), and means of the batch:

    - `average`: D: t(D(x) - mean D(G(z))) + t(mean D(x) - D(G(z))); G: the same with the sides
      exchanged, t(D(G(z)) - mean D(x)) + t(mean D(G(z)) - D(x)): RaGAN, RaLSGAN, RaHingeGAN.
    - `pair`: D: t(D(x) - D(G(z))); G: t(D(G(z)) - D(x)). Pairs go by index and share their class;
      with `bce` it is the loss `rpgan`.

    The means are those of all processes, over images only: of several scores per image each is
    compared with its like. `average` is the sum of the two terms, as in the papers; the first
    author's code halves it, which changes the balance against penalties.

    Args:
        kind: the function t.
        center: what a score is compared with.
        halved: take half of the sum of `average`, as that code does.
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
                "loss relativistic: halved=true is of center=average; a pair has one term."
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
        """What is lost where `higher` does not lead `lower`."""
        lack = _LACK[self.kind]
        if self.center == "pair":
            return lack(higher - lower)
        both = lack(higher - _mean(lower)) + lack(_mean(higher) - lower)
        return self.factor * both


def _mean(scores: Tensor) -> Tensor:
    """The mean over the images of all processes, (1, ...), differentiable in each of them."""
    return gather_with_gradient(scores.mean(0, keepdim=True)).mean(0, keepdim=True)
