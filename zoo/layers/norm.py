"""Normalisation layers."""

from __future__ import annotations

from typing import Literal

from torch import nn

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
