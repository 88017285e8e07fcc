"""Read image files as the targets of a projection."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.data.pictures import MODES, decode
from zoo.data.pixels import to_float


def read_target(
    network: Generator,
    picture: Path | bytes,
    name: str | None = None,
    most_pixels: int | None = None,
) -> Tensor:
    """Read an image file, or its bytes, as (1, C, H, W) in [-1, 1] with the network's shape.

    Args:
        network: the generator.
        picture: the file, or its bytes.
        name: what error messages call the image; None for the file's path.
        most_pixels: the largest number of pixels; see `zoo.data.pictures.decode`.

    Raises:
        ZooError: it is not an image, or the network's images have neither 1 nor 3 channels.
    """
    if network.channels not in MODES:
        raise ZooError(
            f"image files have 1 or 3 channels, but this model's images have {network.channels}: "
            "pass tensors to model.project instead."
        )
    size = (network.height, network.width)
    pixels = decode(picture, size, network.channels, name=name, most_pixels=most_pixels)
    return to_float(pixels[None])
