"""The dual contrastive loss."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

from zoo.contracts.loss import Loss
from zoo.core.distributed import gather_with_gradient
from zoo.core.errors import ZooError
from zoo.registry import loss


@loss("dual_contrastive")
class DualContrastive(Loss):
    """Dual contrastive loss: tell one real image from all fakes, and one fake from all reals.

    Paper: Yu et al. (2021), arXiv:2103.17185.

    D: softplus(lse_j D(G(z_j)) - D(x_i)) + softplus(lse_j(-D(x_j)) + D(G(z_i))), which is the cross
    entropy of classifying one real against all fakes and one fake against all reals; lse is the
    log-sum-exp over the images of all processes.

    Args:
        generator: `opposite`: G maximises D's loss, as in the paper; `swapped`: G minimises D's
            loss with reals and fakes exchanged, as public code does, which does not saturate.
    """

    needs_real = True

    def __init__(self, generator: Literal["opposite", "swapped"] = "opposite") -> None:
        self.opposite = generator == "opposite"

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        one_real = softplus(_log_sum_exp(fake) - real)
        one_fake = softplus(_log_sum_exp(-real) + fake)
        return one_real + one_fake

    def log_ratio(self, scores: Tensor) -> Tensor:
        return scores

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ZooError(
                "loss dual_contrastive: the generator's side needs the scores of real images."
            )
        return -self.discriminator(real, fake) if self.opposite else self.discriminator(fake, real)


def _log_sum_exp(scores: Tensor) -> Tensor:
    return torch.logsumexp(gather_with_gradient(scores), dim=0, keepdim=True)
