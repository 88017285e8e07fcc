"""The saturating minimax loss of the first GAN paper."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from zoo.contracts.loss import Loss
from zoo.registry import loss


@loss("minimax")
class Minimax(Loss):
    """Saturating cross entropy: the original two-player minimax game.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.

    D: softplus(-D(x)) + softplus(D(G(z))). G minimises log(1 - sigmoid(D(G(z)))) =
    -softplus(D(G(z))), whose gradient vanishes where D confidently rejects the fakes; the same
    paper's remedy is the loss `bce`.
    """

    def __init__(self) -> None:
        pass

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-real) + softplus(fake)

    def log_ratio(self, scores: Tensor) -> Tensor:
        return scores

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -softplus(fake)
