"""Pixels between the three forms they take: stored (uint8), in training (float), and resized."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.core.sizes import ImageSize, height_width

POINT = (2, 1, 1)
"""Channels, height and width of a point of the plane that is kept as an image."""
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


def stored(images: Tensor) -> Tensor:
    """Images of a network as data sets keep theirs: uint8, but points of the plane as floats."""
    return images.detach().float() if images.shape[1:] == POINT else to_uint8(images)


def centred_window(height: int, width: int, image_size: ImageSize) -> tuple[int, int, int, int]:
    """Top, left, height and width of the largest centred window with the shape of `image_size`.

    An odd row too many falls off the end.
    """
    tall, wide = height_width(image_size)
    rows = max(1, min(height, round(width * tall / wide)))
    columns = max(1, min(width, round(height * wide / tall)))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def fit(images: Tensor, image_size: ImageSize) -> Tensor:
    """Bring uint8 images (N, C, H, W) to `image_size`: the largest centred window, resized."""
    height, width = images.shape[-2:]
    top, left, rows, columns = centred_window(height, width, image_size)
    return resize(images[..., top : top + rows, left : left + columns], image_size)


def resize(images: Tensor, image_size: ImageSize) -> Tensor:
    """Resize uint8 images (N, C, H, W) to the height and width of `image_size`.

    Bicubic (Keys, a = -0.5) with antialiasing, as Pillow does it: the kernel widens with the
    reduction, so that fine patterns are averaged rather than picked from.
    """
    size = height_width(image_size)
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)


def fit_digits(images: Tensor, image_size: ImageSize) -> Tensor:
    """Bring 28x28 images (N, C, 28, 28) of the MNIST family to `image_size`.

    28 is left alone. 32 is the picture with two rows and columns of zeros on every side, so that
    every pixel stays what it was measured as. Other sizes are resized from those 32x32, oblong ones
    from as many more zeros beside them as their shape asks for.
    """
    tall, wide = height_width(image_size)
    if (tall, wide) == images.shape[-2:]:
        return images
    height, width = max(32, round(32 * tall / wide)), max(32, round(32 * wide / tall))
    down, across = height - images.shape[-2], width - images.shape[-1]
    border = (across // 2, across - across // 2, down // 2, down - down // 2)
    return resize(F.pad(images, border), image_size)
