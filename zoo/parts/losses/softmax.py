"""The loss of Softmax GAN."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.core.distributed import gather_with_gradient
from zoo.core.errors import ZooError
from zoo.registry import loss


@loss("softmax")
class Softmax(Loss):
    """Softmax GAN: batch-wise cross entropy, with the reals as D's target and all images as G's.

    Paper: Lin (2017), arXiv:1704.06191.

    D: lse - mean D(x); G: lse - mean of all scores. lse is the log-sum-exp over the scores of the
    reals and fakes of all processes.
    """

    needs_real = True

    def __init__(self) -> None:
        pass

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return _log_sum_exp(real, fake) - real

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ZooError("loss softmax: the generator's side needs the scores of real images.")
        return _log_sum_exp(real, fake) - (real + fake) / 2


def _log_sum_exp(real: Tensor, fake: Tensor) -> Tensor:
    return torch.logsumexp(gather_with_gradient(torch.cat((real, fake))), dim=0, keepdim=True)
