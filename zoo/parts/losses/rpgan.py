"""The relativistic pairing loss."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

from zoo.contracts.loss import Loss
from zoo.core.errors import ZooError
from zoo.registry import loss


@loss("rpgan")
class RpGAN(Loss):
    """Relativistic pairing: each fake's score is compared with that of one real image.

    Paper: Jolicoeur-Martineau (2018), arXiv:1807.00734; with R1 and R2 in R3GAN, Huang et al.
    (2024), arXiv:2501.05441.

    D: softplus(-(D(x) - D(G(z)))); G: softplus(-(D(G(z)) - D(x))). Images are paired by index. The
    training step gives each fake the label of the real image at its index, so both share their
    class.
    """

    needs_real = True

    def __init__(self) -> None:
        pass

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(fake - real)

    def log_ratio(self, scores: Tensor) -> Tensor:
        return scores

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ZooError("loss rpgan: the generator's side needs the scores of real images.")
        return softplus(real - fake)
