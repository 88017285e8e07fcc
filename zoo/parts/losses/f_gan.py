"""The f-GAN family."""

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
    """exp(x); above 30 its tangent, so that no score overflows."""
    return torch.exp(x.clamp(max=_STEEP)) * (1 + (x - _STEEP).relu())


class _Divergence(NamedTuple):
    """g(v), the activation of a score, and f*(g(v)), the conjugate of it, written in v.

    The best D has g(v) = f'(p_data / p_G); `log_ratio` is that solved for the ratio's logarithm.
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
    """f-GAN: minimises any f-divergence through its conjugate.

    Paper: Nowozin et al. (2016), arXiv:1606.00709.

    D: -g(D(x)) + f*(g(D(G(z)))); G: -g(D(G(z))), which the paper recommends in practice, or its
    first form -f*(g(D(G(z)))), which saturates. g and f* are the paper's tables 2 and 6, on raw
    scores; exponentials continue as straight lines above exp(30).

    Args:
        divergence: which f; `gan` is the one of the 2014 paper, so that D's side is `bce`.
        saturating: give G the first form.
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
        found = _DIVERGENCES[self.divergence].log_ratio
        return None if found is None else found(scores)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        activation, conjugate, _ = _DIVERGENCES[self.divergence]
        return -conjugate(fake) if self.saturating else -activation(fake)
