"""Layers of transformers on images: positions, attention with rotations, gated feed-forward.

Tokens are (N, T, width), one for each patch in the order of rows, behind a class token where there
is one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError
from zoo.layers.product import linear

EPSILON = 1e-6
"""What root mean square norms add under the root."""


def rms(x: Tensor) -> Tensor:
    """x divided by the root of its mean square over the last dimension. Differentiable twice."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return x * _per_rms(x)
    normed: Tensor = _RMS.apply(x)
    return normed


def _per_rms(x: Tensor) -> Tensor:
    return torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


class _RMS(torch.autograd.Function):
    """`rms` with its derivative in closed form, which reads the tokens half as often."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide)
        factor = torch.rsqrt(norm.square() / x.shape[-1] + EPSILON).to(x.dtype)
        ctx.save_for_backward(x, factor)
        return x * factor

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        x, factor = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again, through the factor as well
            factor = _per_rms(x)
        normed = x * factor
        share = (gradient * normed).mean(-1, keepdim=True)
        return torch.addcmul(gradient, normed, share, value=-1) * factor


class RMSNorm(nn.Module):
    """`rms` with a weight for each feature (Zhang and Sennrich, 2019, arXiv:1910.07467).

    Written out instead of torch's, whose fused kernel has no second derivative.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms(x) * self.weight


def xavier(layer: nn.Linear, gain: float = 1.0) -> nn.Linear:
    """The layer with Xavier-uniform weights and no bias to begin with."""
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class ScaledLinear(nn.Linear):
    """A linear layer that learns at `lr_mult` times the learning rate of the others under Adam.

    Weight and bias are kept divided by `lr_mult` and multiplied by it in use, so that it starts as
    any Xavier-uniform layer.
    """

    def __init__(self, inputs: int, outputs: int, lr_mult: float = 0.01) -> None:
        super().__init__(inputs, outputs)
        self.lr_mult = lr_mult
        nn.init.xavier_uniform_(self.weight, 1 / lr_mult)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.lr_mult, self.bias * self.lr_mult)


def sin_cos_positions(height: int, width: int, features: int) -> Tensor:
    """Fixed positions (height * width, features): sines and cosines of the row, then the column.

    Frequencies are 10000^(-4i / features), i < features / 4.
    """
    quarter = features // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter) / quarter)
    rows, columns = (grid[:, None] * frequencies for grid in _grid(height, width))
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], dim=1)


def rotations(height: int, width: int, features: int, extra: int = 0) -> Tensor:
    """Cosines and sines (2, extra + height * width, features / 2) of rotary positions.

    The first half of the angles follows the row, the second the column, with frequencies
    10000^(-4i / features), i < features / 4; `extra` tokens in front are not rotated.

    Paper: Su et al. (2021), arXiv:2104.09864.
    """
    quarter = features // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter) / quarter)
    angles = torch.cat([grid[:, None] * frequencies for grid in _grid(height, width)], dim=1)
    angles = torch.cat([torch.zeros(extra, 2 * quarter), angles])
    return torch.stack([angles.cos(), angles.sin()])


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Row and column of each patch, (height * width,) float."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return rows.flatten().float(), columns.flatten().float()


def rotate(x: Tensor, turns: Tensor, weight: Tensor | None = None) -> Tensor:
    """Rotate each pair of features (i, i + half) of x (..., T, features) by its token's angle.

    Args:
        x: tokens.
        turns: (2, T, features / 2), the cosines and sines of the angles.
        weight: (..., 1, features), by which features are multiplied before; None is 1.
    """
    cosine, sine = turns.unbind()
    keep, swap = torch.cat([cosine, cosine], dim=-1), torch.cat([-sine, sine], dim=-1)
    if weight is not None:  # in the small tables instead of in all tokens
        keep, swap = keep * weight, swap * _swapped(weight)
    return torch.addcmul(x * keep, _swapped(x), swap)


def _swapped(x: Tensor) -> Tensor:
    """The halves of the features in the other order; exporters do not all know `roll`."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([second, first], dim=-1)


class RotaryAttention(nn.Module):
    """Multi-head attention whose queries and keys are normalised and rotated by their position.

    Scores are scaled by 1 / sqrt(width / heads). The fused kernels have no second derivative: a
    gradient penalty in a loop of one's own calls the network under `twice_differentiable`, as the
    step does.

    Args:
        width: of the tokens.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = xavier(nn.Linear(width, 3 * width))
        self.query_norm, self.key_norm = RMSNorm(width // heads), RMSNorm(width // heads)
        self.out = xavier(nn.Linear(width, width))

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries_and_keys, value = parts.split([2, 1])
        weights = torch.stack([self.query_norm.weight, self.key_norm.weight])
        turned = rotate(rms(queries_and_keys), turns, weights[:, None, None, None])
        query, key = turned.to(parts.dtype).unbind()
        answers = F.scaled_dot_product_attention(query, key, value.squeeze(0))
        return self.out(answers.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """W3 (SiLU(W1 x) * W2 x), with 8/3 of the width in between, rounded down.

    Paper: Shazeer (2020), arXiv:2002.05202.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 8 * width // 3
        self.wide = xavier(nn.Linear(width, 2 * hidden))
        self.out = xavier(nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.wide(x).chunk(2, dim=-1)
        return self.out(F.silu(gate) * value)


def check_heads(part: str, width: int, heads: int) -> None:
    """Refuse a width that `heads` cannot share in pairs of features for rows and for columns.

    Args:
        part: `generator gat`, for the sentence.

    Raises:
        ZooError: naming the nearest width.
    """
    whole = 4 * heads
    if width % whole:
        nearest = max(1, round(width / whole)) * whole
        raise ZooError(
            f"{part}: width={width} must be a multiple of {whole}, 4 for each of heads={heads}: "
            f"the nearest is {nearest}."
        )
