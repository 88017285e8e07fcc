"""The f-GAN family of losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from zoo.contracts.loss import Loss
from zoo.registry import loss

_STEEP = 30.0


def _exp(x: Tensor) -> Tensor:
    """Return exp(x), continued by its tangent above 30 so that no score overflows."""
    return torch.exp(x.clamp(max=_STEEP)) * (1 + (x - _STEEP).relu())


class _Divergence(NamedTuple):
    """The output activation g(v) of a score v, and the conjugate f*(g(v)) as a function of v.

    The optimal D satisfies g(v) = f'(p_data / p_G). `log_ratio` solves this for log p_data / p_G;
    it is None where the optimal D does not determine the ratio.
    """

    activation: Callable[[Tensor], Tensor]
    conjugate: Callable[[Tensor], Tensor]
    log_ratio: Callable[[Tensor], Tensor] | None = None


_LOG2 = math.log(2)


def _same(v: Tensor) -> Tensor:
    return v


_DIVERGENCES = {
    "gan": _Divergence(lambda v: -softplus(-v), softplus, _same),
    "jensen_shannon": _Divergence(
        lambda v: _LOG2 - softplus(-v), lambda v: softplus(v) - _LOG2, _same
    ),
    "kl": _Divergence(_same, lambda v: _exp(v - 1), lambda v: v - 1),
    "reverse_kl": _Divergence(lambda v: -_exp(-v), lambda v: v - 1, _same),
    "pearson": _Divergence(
        _same, lambda v: v.square() / 4 + v, lambda v: (1 + v / 2).clamp(min=1e-6).log()
    ),
    "squared_hellinger": _Divergence(
        lambda v: 1 - _exp(-v), lambda v: _exp(v) - 1, lambda v: 2 * v
    ),
    "total_variation": _Divergence(lambda v: v.tanh() / 2, lambda v: v.tanh() / 2),
}


@loss("f_gan")
class FGAN(Loss):
    """f-GAN: minimises a chosen f-divergence through its convex conjugate.

    Paper: Nowozin et al. (2016), arXiv:1606.00709.

    D: -g(D(x)) + f*(g(D(G(z)))). G: -g(D(G(z))), which the paper recommends in practice, or the
    original objective -f*(g(D(G(z)))), which saturates. g and f* are those of the paper's tables 2
    and 6, applied to raw scores; exponentials continue as straight lines above exp(30).

    Args:
        divergence: which f; `gan` is that of the 2014 paper, with which D's loss equals `bce`.
        saturating: whether G minimises the original objective.
    """

    def __init__(
        self,
        divergence: Literal[
            "gan",
            "jensen_shannon",
            "kl",
            "reverse_kl",
            "pearson",
            "squared_hellinger",
            "total_variation",
        ] = "jensen_shannon",
        saturating: bool = False,
    ) -> None:
        self.divergence = divergence
        self.saturating = saturating

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        activation, conjugate, _ = _DIVERGENCES[self.divergence]
        return conjugate(fake) - activation(real)

    def log_ratio(self, scores: Tensor) -> Tensor | None:
        log_ratio = _DIVERGENCES[self.divergence].log_ratio
        return None if log_ratio is None else log_ratio(scores)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        activation, conjugate, _ = _DIVERGENCES[self.divergence]
        return -conjugate(fake) if self.saturating else -activation(fake)
