"""Truncated normals: latents, for sampling and for exported programs, and weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NO_TRUNCATION = 5.0  # a standard normal leaves [-5, 5] once in 1.7 million draws

_SQRT2 = math.sqrt(2.0)


def _erfinv(p: Tensor) -> Tensor:
    """Inverse of erf on [0, 1) from operations that ONNX has (it knows Erf, not its inverse).

    Winitzki's closed form (2008; relative error 2e-3), then two Halley steps on erf(x) - p, each
    of which cubes the error.
    """
    a = 0.147
    log = torch.log1p(-p * p)
    b = 2 / (math.pi * a) + log / 2
    x = torch.sqrt(torch.clamp(torch.sqrt(b * b - log / a) - b, min=0))
    for _ in range(2):
        newton = (torch.erf(x) - p) * (math.sqrt(math.pi) / 2) * torch.exp(x * x)
        x = x - newton / (1 + x * newton)
    return x


def truncate(z: Tensor, truncation: Tensor | float) -> Tensor:
    """Turn standard normal latents into latents of the normal truncated to [-t, t].

    This is the truncation trick of BigGAN (Brock et al., 2019, arXiv:1809.11096): `t` is the
    threshold in standard deviations; 2 is mild, 0.5 strong. The paper redraws the coordinates that
    fall outside; here each coordinate is moved to the same quantile of the truncated normal,
    z' = sign(z) √2 erf⁻¹(erf(|z|/√2) · erf(t/√2)), which has the same distribution but needs no
    loop, keeps a seed's picture recognisable as t moves, and can be exported.

    Args:
        z: latents of any shape, float32, standard normal.
        truncation: t > 0, a number or a scalar tensor; from 5 up it changes nothing.
    """
    t = torch.as_tensor(truncation, dtype=z.dtype, device=z.device)
    mass = torch.erf(z.abs() / _SQRT2) * torch.erf(t.clamp(max=NO_TRUNCATION) / _SQRT2)
    inside = z.sign() * _SQRT2 * _erfinv(mass.clamp(max=1 - 1e-7))
    return torch.where(t < NO_TRUNCATION, inside, z)


@torch.no_grad()
def truncated_normal_(weight: Tensor, deviation: float, cut: float = 2.0) -> Tensor:
    """Fill a weight with N(0, deviation^2) cut off at `cut` deviations, in place.

    From torch's normal numbers, through their quantiles in fp64: a seed gives the same weights
    under any version of torch, whose own `trunc_normal_` is another algorithm in some.
    """
    quantiles = truncate(weight.normal_().double(), cut)
    return weight.copy_(deviation * quantiles)
