"""The normal prior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.contracts.latent import Latent
from zoo.registry import latent

NO_TRUNCATION = 5.0  # a standard normal leaves [-5, 5] once in 1.7 million draws
_SQRT2 = math.sqrt(2.0)


@latent("normal")
class Normal(Latent):
    """N(0, I).

    Paper: Radford et al. (2015), arXiv:1511.06434.

    Args:
        dim: length of a latent; filled from `model.latent_dim`.
    """

    def __init__(self, dim: int) -> None:  # written out, so that the registry need not import it
        super().__init__(dim)

    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | None = None
    ) -> Tensor:
        origin = device if generator is None else generator.device
        z = torch.randn(n, self.dim, generator=generator, device=origin)
        return z if device is None else z.to(device)

    def truncate(self, z: Tensor, amount: Tensor | float) -> Tensor:
        """Latents of the normal truncated to [-t, t], t = `amount` in standard deviations.

        The truncation trick of BigGAN (Brock et al., 2019, arXiv:1809.11096), which redraws what
        falls outside. Here each coordinate is moved to the same quantile of the truncated normal,
        z' = sign(z) √2 erf⁻¹(erf(|z|/√2) · erf(t/√2)): the same distribution without a loop, in
        operations that ONNX has. From t = 5 up it changes nothing.
        """
        t = torch.as_tensor(amount, dtype=z.dtype, device=z.device)
        mass = torch.erf(z.abs() / _SQRT2) * torch.erf(t.clamp(max=NO_TRUNCATION) / _SQRT2)
        inside = z.sign() * _SQRT2 * _erfinv(mass.clamp(max=1 - 1e-7))
        return torch.where(t < NO_TRUNCATION, inside, z)


def _erfinv(p: Tensor) -> Tensor:
    """Inverse of erf on [0, 1): Winitzki's closed form (2008), then two Halley steps."""
    a = 0.147
    log = torch.log1p(-p * p)
    b = 2 / (math.pi * a) + log / 2
    x = torch.sqrt(torch.clamp(torch.sqrt(b * b - log / a) - b, min=0))
    for _ in range(2):
        newton = (torch.erf(x) - p) * (math.sqrt(math.pi) / 2) * torch.exp(x * x)
        x = x - newton / (1 + x * newton)
    return x
