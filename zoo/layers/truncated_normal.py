"""Truncated normal distributions, for latents (also in exported programs) and for weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

NO_TRUNCATION = 5.0  # a standard normal leaves [-5, 5] once in 1.7 million draws

_SQRT2 = math.sqrt(2.0)


def _erfinv(p: Tensor) -> Tensor:
    """Return the inverse of erf on [0, 1), using operations that ONNX has (Erf, not its inverse).

    Winitzki's closed form (2008; relative error 2e-3) is followed by two Halley steps on erf(x) -
    p, each of which cubes the error.
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
    """Map standard normal latents to latents of the normal truncated to [-t, t].

    This is the truncation trick of BigGAN (Brock et al., 2019, arXiv:1809.11096): `t` is the
    threshold in standard deviations, where 2 is mild and 0.5 strong. The paper redraws the
    coordinates that fall outside. Here each coordinate is moved to the same quantile of the
    truncated normal, z' = sign(z) √2 erf⁻¹(erf(|z|/√2) · erf(t/√2)). The distribution is the same,
    but there is no loop, the image of a seed stays recognisable as t changes, and the operation can
    be exported.

    Args:
        z: standard normal latents of any shape, float32.
        truncation: t > 0, a number or a scalar tensor; from 5 up it changes nothing.
    """
    t = torch.as_tensor(truncation, dtype=z.dtype, device=z.device)
    mass = torch.erf(z.abs() / _SQRT2) * torch.erf(t.clamp(max=NO_TRUNCATION) / _SQRT2)
    inside = z.sign() * _SQRT2 * _erfinv(mass.clamp(max=1 - 1e-7))
    return torch.where(t < NO_TRUNCATION, inside, z)


@torch.no_grad()
def truncated_normal_(weight: Tensor, deviation: float, cut: float = 2.0) -> Tensor:
    """Fill a weight with N(0, deviation^2) truncated at `cut` standard deviations, in place.

    The numbers are quantiles in fp64 of torch's normal numbers, so that a seed gives the same
    weights in every version of torch; the algorithm of its own `trunc_normal_` differs between
    versions.
    """
    quantiles = truncate(weight.normal_().double(), cut)
    return weight.copy_(deviation * quantiles)
