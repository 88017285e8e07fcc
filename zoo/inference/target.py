"""Pictures as the targets of a projection."""

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
    """A picture file, or its bytes, as (1, C, H, W) in [-1, 1] of the network's shape.

    Args:
        name: what it is called in errors.
        most_pixels: see `zoo.data.pictures.decode`.

    Raises:
        ZooError: no picture, or a network of neither 1 nor 3 channels.
    """
    if network.channels not in MODES:
        raise ZooError(
            f"pictures have 1 or 3 channels and this model's images {network.channels}: give "
            "tensors to model.project."
        )
    size = (network.height, network.width)
    pixels = decode(picture, size, network.channels, name=name, most_pixels=most_pixels)
    return to_float(pixels[None])
