"""The uniform prior."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.latent import Latent
from zoo.registry import latent


@latent("uniform")
class Uniform(Latent):
    """Uniform prior on [-1, 1) for each coordinate, as in the first GAN papers.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.

    Args:
        dim: length of a latent; set from `model.latent_dim`.
    """

    def __init__(self, dim: int) -> None:  # lets the registry read the options without importing
        super().__init__(dim)

    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | None = None
    ) -> Tensor:
        origin = device if generator is None else generator.device
        z = 2 * torch.rand(n, self.dim, generator=generator, device=origin) - 1
        return z if device is None else z.to(device)
