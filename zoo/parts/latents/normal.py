"""The standard normal prior."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.latent import Latent
from zoo.layers.truncated_normal import truncate
from zoo.registry import latent


@latent("normal")
class Normal(Latent):
    """Standard normal prior, N(0, I).

    Paper: Radford et al. (2015), arXiv:1511.06434.

    Args:
        dim: length of a latent; set from `model.latent_dim`.
    """

    def __init__(self, dim: int) -> None:  # lets the registry read the options without importing
        super().__init__(dim)

    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | None = None
    ) -> Tensor:
        origin = device if generator is None else generator.device
        z = torch.randn(n, self.dim, generator=generator, device=origin)
        return z if device is None else z.to(device)

    def slope(self, z: Tensor) -> Tensor:
        return -z

    def truncate(self, z: Tensor, amount: Tensor | float) -> Tensor:
        """Return latents of the normal truncated to [-t, t], t = `amount` in standard deviations.

        This is the truncation trick of BigGAN (Brock et al., 2019, arXiv:1809.11096), which redraws
        the coordinates that fall outside. Here each coordinate is moved to the same quantile of the
        truncated normal, z' = sign(z) √2 erf⁻¹(erf(|z|/√2) · erf(t/√2)). The distribution is the
        same, but it needs no loop and only operations that ONNX has. From t = 5 up it changes
        nothing.
        """
        return truncate(z, amount)
