"""Normalisation layers."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

NormName = Literal["auto", "batch", "layer", "none"]


def critic_norm(norm: NormName, channels: int, per_sample: bool) -> nn.Module:
    """Return a norm for maps (N, channels, H, W) of a discriminator.

    Args:
        norm: kind of norm; `auto` is `batch`, or `layer` with `per_sample`, where images must not
            mix.
        channels: number of channels of the map.
        per_sample: whether the training differentiates each image's score separately.
    """
    if norm == "auto":
        norm = "layer" if per_sample else "batch"
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(1, channels) if norm == "layer" else nn.Identity()


def second_moment_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """Scale rows (N, D) to a mean square of 1 (Karras et al., 2018, arXiv:1710.10196)."""
    return x * (x.square().mean(1, keepdim=True) + eps).rsqrt()
