"""StyleGAN2's formulas written out, and small networks, for its tests."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

import zoo.registry as registry

TINY = {"base": 256, "max_channels": 16, "style_dim": 16}


def tiny(image_size=16, channels=3, num_classes=0, **options):
    return registry.create(
        "generator",
        "stylegan2",
        image_size=image_size,
        channels=channels,
        latent_dim=12,
        num_classes=num_classes,
        **(TINY | options),
    )


def lrelu(x):
    return math.sqrt(2) * torch.where(x > 0, x, 0.2 * x)


def blur(x, padding, gain=1.0):
    """Apply the filter [1, 3, 3, 1] along both axes, after `padding` zeros on every side."""
    x = F.pad(x, [padding] * 4)
    taps = [t * gain / 8 for t in (1, 3, 3, 1)]
    for axis in (2, 3):
        length = x.shape[axis] - 3
        x = sum(t * x.narrow(axis, k, length) for k, t in enumerate(taps))
    return x


def insert_zeros(x):
    """Insert a zero after every pixel, so that (H, W) becomes (2H, 2W)."""
    n, c, h, w = x.shape
    out = x.new_zeros(n, c, 2 * h, 2 * w)
    out[:, :, ::2, ::2] = x
    return out
