"""Normalisation layers."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

NormName = Literal["auto", "batch", "layer", "none"]


def critic_norm(norm: NormName, channels: int, per_sample: bool) -> nn.Module:
    """A norm layer for maps (N, channels, H, W) of a discriminator.

    Args:
        norm: `auto` is `batch`, or `layer` where `per_sample` forbids that images mix.
        channels: channels of the map.
        per_sample: the method differentiates each image's score on its own.
    """
    if norm == "auto":
        norm = "layer" if per_sample else "batch"
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(1, channels) if norm == "layer" else nn.Identity()


def second_moment_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Rows (N, D) of mean square 1 (Karras et al., 2018, arXiv:1710.10196)."""
    return x * (x.square().mean(1, keepdim=True) + eps).rsqrt()
