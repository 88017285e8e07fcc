"""Layers of image transformers: positions, rotary attention, gated feed-forward networks.

Tokens are (N, T, width), one for each patch in row order, after the class token if there is one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError
from zoo.layers.attention import attend
from zoo.layers.product import linear

EPSILON = 1e-6
"""Added under the root in root mean square norms."""


def rms(x: Tensor) -> Tensor:
    """Divide x by the root of its mean square over the last dimension; twice differentiable."""
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
        if torch.is_grad_enabled():  # a second derivative also flows through the factor
            factor = _per_rms(x)
        normed = x * factor
        share = (gradient * normed).mean(-1, keepdim=True)
        return torch.addcmul(gradient, normed, share, value=-1) * factor


class RMSNorm(nn.Module):
    """`rms` with a learned weight per feature (Zhang and Sennrich, 2019, arXiv:1910.07467).

    torch's own fused kernel has no second derivative.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms(x) * self.weight


def xavier(layer: nn.Linear, gain: float = 1.0) -> nn.Linear:
    """Initialise a layer with Xavier-uniform weights and zero bias, and return it."""
    nn.init.xavier_uniform_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class ScaledLinear(nn.Linear):
    """A linear layer that learns at `lr_mult` times the learning rate of the others under Adam.

    Weight and bias are stored divided by `lr_mult` and multiplied by it on use, so that the layer
    starts like any Xavier-uniform one.
    """

    def __init__(self, inputs: int, outputs: int, lr_mult: float = 0.01) -> None:
        super().__init__(inputs, outputs)
        self.lr_mult = lr_mult
        nn.init.xavier_uniform_(self.weight, 1 / lr_mult)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight * self.lr_mult, self.bias * self.lr_mult)


def sin_cos_positions(height: int, width: int, features: int) -> Tensor:
    """Return fixed positional encodings (height * width, features): sin and cos of row and column.

    Frequencies are 10000^(-4i / features), i < features / 4.
    """
    quarter = features // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter) / quarter)
    rows, columns = (grid[:, None] * frequencies for grid in _grid(height, width))
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], dim=1)


def rotations(height: int, width: int, features: int, extra: int = 0) -> Tensor:
    """Return cosines and sines (2, extra + height * width, features / 2) of rotary positions.

    The first half of the angles depends on the row, the second on the column, with frequencies
    10000^(-4i / features), i < features / 4. The first `extra` tokens are not rotated.

    Paper: Su et al. (2021), arXiv:2104.09864.
    """
    quarter = features // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter) / quarter)
    angles = torch.cat([grid[:, None] * frequencies for grid in _grid(height, width)], dim=1)
    angles = torch.cat([torch.zeros(extra, 2 * quarter), angles])
    return torch.stack([angles.cos(), angles.sin()])


def _grid(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return row and column of each patch, each (height * width,) float."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return rows.flatten().float(), columns.flatten().float()


def rotate(x: Tensor, turns: Tensor, weight: Tensor | None = None) -> Tensor:
    """Rotate each pair of features (i, i + half) of x (..., T, features) by its token's angle.

    Args:
        x: tokens.
        turns: (2, T, features / 2), the cosines and sines of the angles.
        weight: (..., 1, features), by which features are multiplied first; None for no weight.
    """
    cosine, sine = turns.unbind()
    keep, swap = torch.cat([cosine, cosine], dim=-1), torch.cat([-sine, sine], dim=-1)
    if weight is not None:  # applied to the small tables instead of to all tokens
        keep, swap = keep * weight, swap * _swapped(weight)
    return torch.addcmul(x * keep, _swapped(x), swap)


def _swapped(x: Tensor) -> Tensor:
    """Exchange the two halves of the features; not by `roll`, which some exporters lack."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([second, first], dim=-1)


class RotaryAttention(nn.Module):
    """Multi-head attention whose queries and keys are normalised and rotated by their position.

    Scores are scaled by 1 / sqrt(width / heads). The fused kernels have no second derivative. To
    use a gradient penalty in your own loop, call the network inside `twice_differentiable`, as the
    zoo's training step does.

    Args:
        width: width of the tokens.
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
        query, key = turned.unbind()
        attended = attend(query, key, value.squeeze(0))
        return self.out(attended.transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """W3 (SiLU(W1 x) * W2 x), with a hidden width of 8/3 of the width, rounded down.

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
    """Refuse a width that does not split into `heads` with pairs of features for row and column.

    Args:
        part: kind and name of the part, such as `generator gat`, for the error message.
        width: width of the tokens.
        heads: number of attention heads.

    Raises:
        ZooError: The width is not a multiple of 4 * heads; the message names the nearest one.
    """
    whole = 4 * heads
    if width % whole:
        nearest = max(1, round(width / whole)) * whole
        raise ZooError(
            f"{part}: width={width} must be a multiple of {whole}, 4 for each of heads={heads}: "
            f"the nearest is {nearest}."
        )
