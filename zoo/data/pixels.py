"""Pixels between the three forms they take: stored (uint8), in training (float), and resized."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_STEP = 0.00784313678741455
"""Between two levels: 2/255 in fp32, rounded down, since 255 steps must not lead beyond 1."""
_BLACK = torch.tensor(-1.0, device="cpu")


def to_float(images: Tensor) -> Tensor:
    """Stored images as the networks see them: uint8 in [0, 255] to float in [-1, 1].

    Meant to run on the device, after a transfer of a quarter of the bytes: one operation, exact to
    2e-7. Floats are taken to be in [-1, 1] already.
    """
    if images.is_floating_point():
        return images
    return torch.add(_BLACK, images, alpha=_STEP)


def to_uint8(images: Tensor) -> Tensor:
    """Images of a network as stored and measured ones: clamped to [-1, 1], rounded to uint8.

    The inverse of `to_float` on its range. Values are never rescaled by their own minimum and
    maximum: that would hide a generator with the wrong contrast.
    """
    scaled = images.detach().float().add(1.0).mul_(127.5)
    return scaled.clamp_(0.0, 255.0).round_().to(torch.uint8)


def center_crop(images: Tensor) -> Tensor:
    """The largest centred square of images (..., H, W); an odd row too many falls off the end."""
    height, width = images.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side]


def resize(images: Tensor, image_size: int) -> Tensor:
    """Resize uint8 images (N, C, H, W) to (N, C, image_size, image_size).

    Bicubic (Keys, a = -0.5) with antialiasing, as Pillow does it: the kernel widens with the
    reduction, so that fine patterns are averaged rather than picked from.
    """
    if images.shape[-2:] == (image_size, image_size):
        return images
    size = (image_size, image_size)
    return F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)


def fit_digits(images: Tensor, image_size: int) -> Tensor:
    """Bring 28x28 images (N, C, 28, 28) of the MNIST family to `image_size`.

    28 is left alone. 32 is the picture with two rows and columns of zeros on every side, so that
    every pixel stays what it was measured as. Other sizes are resized from those 32x32.
    """
    if image_size == images.shape[-1]:
        return images
    return resize(F.pad(images, (2, 2, 2, 2)), image_size)
