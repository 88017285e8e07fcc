"""What PacGAN's two networks for Stacked MNIST share: map sizes, widths and initialisation."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import nn

from zoo.layers.init import CONVS
from zoo.layers.truncated_normal import truncated_normal_

Setting = Literal["veegan", "unrolled"]


class Plan(NamedTuple):
    """The constants of a setting.

    Attributes:
        kernel: side of the kernels of stride 2.
        smallest: side down to which maps are halved.
        generator, discriminator: published number of channels of the map nearest to the image.
        slope: negative slope of D's leaky ReLU.
        last_conv: whether G ends in a 3x3 convolution at full size instead of an upsampling.
        first_norm: whether D normalises its first map too.
    """

    kernel: int
    smallest: int
    generator: int
    discriminator: int
    slope: float
    last_conv: bool
    first_norm: bool


PLANS: dict[str, Plan] = {
    "veegan": Plan(5, 2, 64, 64, 0.2, last_conv=False, first_norm=False),
    "unrolled": Plan(3, 4, 8, 4, 0.3, last_conv=True, first_norm=True),
}


def maps(height: int, width: int, smallest: int) -> list[tuple[int, int]]:
    """Return the sizes of the maps from the image down; halves are rounded up: 28, 14, 7, 4, 2."""
    sizes = [(height, width)]
    while min(sizes[-1]) > smallest:
        h, w = sizes[-1]
        sizes.append(((h + 1) // 2, (w + 1) // 2))
    return sizes


def initialise(module: nn.Module, truncated: bool = False) -> None:
    """Draw weights from N(0, 0.02), if `truncated` cut off at two deviations, and zero biases."""
    for layer in module.modules():
        if isinstance(layer, (*CONVS, nn.Linear)):
            if truncated:
                truncated_normal_(layer.weight, 0.02)
            else:
                nn.init.normal_(layer.weight, 0.0, 0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
