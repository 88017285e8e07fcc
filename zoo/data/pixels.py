"""Conversions between stored images (uint8) and those of the networks (float), and resizing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.core.sizes import ImageSize, height_width

POINT = (2, 1, 1)
"""Channels, height and width of a point in the plane stored as an image."""
_STEP = 0.00784313678741455
"""The distance between two levels: 2/255 in fp32, rounded down so that 255 steps stay within 1."""
_BLACK = torch.tensor(-1.0, device="cpu")


def to_float(images: Tensor) -> Tensor:
    """Convert stored images, uint8 in [0, 255], to the float images in [-1, 1] that networks take.

    Call it on the device, after a transfer of only a quarter of the bytes. It is a single
    operation, exact to 2e-7. Float images are assumed to be in [-1, 1] already and are returned as
    they are.
    """
    if images.is_floating_point():
        return images
    return torch.add(_BLACK, images, alpha=_STEP)


def to_uint8(images: Tensor) -> Tensor:
    """Convert images of a network to uint8: clamp them to [-1, 1], scale them and round.

    This is the inverse of `to_float` on its range. Values are never rescaled by their own minimum
    and maximum, which would hide the wrong contrast of a generator.
    """
    scaled = images.detach().float().add(1.0).mul_(127.5)
    return scaled.clamp_(0.0, 255.0).round_().to(torch.uint8)


def stored(images: Tensor) -> Tensor:
    """Convert images of a network to the data sets' format: uint8, or floats for plane points."""
    return images.detach().float() if images.shape[1:] == POINT else to_uint8(images)


def centred_window(height: int, width: int, image_size: ImageSize) -> tuple[int, int, int, int]:
    """Return the largest centred window with the aspect ratio of `image_size`.

    If an odd number of rows or columns is cut, the extra one is cut at the end.

    Returns:
        The top, left, height and width of the window.
    """
    tall, wide = height_width(image_size)
    rows = max(1, min(height, round(width * tall / wide)))
    columns = max(1, min(width, round(height * wide / tall)))
    return (height - rows) // 2, (width - columns) // 2, rows, columns


def fit(images: Tensor, image_size: ImageSize) -> Tensor:
    """Crop uint8 images (N, C, H, W) to the largest centred window and resize to `image_size`."""
    height, width = images.shape[-2:]
    top, left, rows, columns = centred_window(height, width, image_size)
    return resize(images[..., top : top + rows, left : left + columns], image_size)


def resize(images: Tensor, image_size: ImageSize) -> Tensor:
    """Resize uint8 images (N, C, H, W) to the height and width of `image_size`.

    The filter is bicubic (Keys, a = -0.5) with antialiasing, as in Pillow: when reducing, the
    kernel widens, so that fine patterns are averaged rather than subsampled.
    """
    size = height_width(image_size)
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False)


def fit_digits(images: Tensor, image_size: ImageSize) -> Tensor:
    """Bring 28x28 images (N, C, 28, 28) of the MNIST family to `image_size`.

    A size of 28 leaves them unchanged. For 32, two rows and columns of zeros are added on every
    side, so that every pixel keeps its original value. Other sizes are resized from these 32x32
    images, which are first padded with zeros to the aspect ratio of `image_size`.
    """
    tall, wide = height_width(image_size)
    if (tall, wide) == images.shape[-2:]:
        return images
    height, width = max(32, round(32 * tall / wide)), max(32, round(32 * wide / tall))
    down, across = height - images.shape[-2], width - images.shape[-1]
    border = (across // 2, across - across // 2, down // 2, down - down // 2)
    return resize(F.pad(images, border), image_size)
