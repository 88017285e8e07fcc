"""The StyleGAN3 generator."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.sizes import ImageSize, height_width
from zoo.core.errors import ZooError
from zoo.layers.alias_free import AliasFreeConv2d, Band, FourierInput
from zoo.layers.mapping import Mapping
from zoo.parts.generators.styled import StyledGenerator
from zoo.registry import at_least, generator

CRITICAL = 2
"""Layers at the end that use the whole band of the image."""

MARGIN = 10
"""Pixels around the maps, so that shifts bring in more of the signal and no border."""

SMALLEST = 64


def bands(image_size: int, channels: int, layers: int, base: int, max_channels: int) -> list[Band]:
    """What the maps hold after the input and each of `layers` layers and the one to the image.

    Entry i describes the maps after layer i; the input has the band of entry 0. Cutoffs go
    geometrically from 2 to half the image's pixels, and stay there for the last layers.
    """
    found = []
    first_stop, last_stop = 2**2.1, image_size / 2 * 2**0.3
    for i in range(layers + 1):
        way = min(i / (layers - CRITICAL), 1)
        cutoff = 2 * (image_size / 4) ** way
        stop = first_stop * (last_stop / first_stop) ** way
        rate = 2 ** math.ceil(math.log2(min(2 * stop, image_size)))
        last = i >= layers - 1
        width = channels if i == layers else round(min(base / 2 / cutoff, max_channels))
        found.append(
            Band(
                rate=rate,
                cutoff=cutoff,
                half_width=max(stop, rate / 2) - cutoff,
                size=image_size if last else rate + 2 * MARGIN,
                channels=max(width, 1),
            )
        )
    return found


class Synthesis(nn.Module):
    """From styles (N, layers + 2, W) to images: the waves, the layers, and the one to the image."""

    def __init__(self, plan: list[Band], style_dim: int, turns: bool) -> None:
        super().__init__()
        self.input = FourierInput(plan[0], style_dim)
        last = len(plan) - 1
        self.layers = nn.ModuleList(
            AliasFreeConv2d(
                source,
                target,
                kernel_size=1 if turns or i == last else 3,
                style_dim=style_dim,
                radial=turns and i < last - CRITICAL,
                to_image=i == last,
            )
            for i, (source, target) in enumerate(pairwise([plan[0], *plan]))
        )

    def forward(self, w: Tensor) -> Tensor:
        first, *styles = w.unbind(1)
        x = self.input(first)
        for layer, style in zip(self.layers, styles, strict=True):
            x = layer(x, style)
        # Drawn weights give images of standard deviation 1 or so; the factor keeps them in range.
        return x.to(torch.promote_types(x.dtype, torch.float32)) / 4


@generator("stylegan3")
class StyleGAN3Generator(StyledGenerator):
    """Waves through layers without aliasing: details move with the image instead of the pixel grid.

    Paper: Karras et al. (2021), arXiv:2106.12423.

    Maps are samples of a signal below a cutoff that grows from layer to layer; every leaky ReLU
    acts at twice the rate or more, between low-pass filters. Variant `t` follows shifts, `r` turns
    too: 1x1 convolutions with twice the channels, and filters that are alike in all directions.

    In the paper the memory of magnitudes and the mean style move in one pass a step; here in each
    that trains. Filters act in the precision of the maps, so that bf16 costs equivariance; the
    clamp of activations at 256 acts in half precisions only. Each class has its own mean style.

    Args:
        image_size: a power of two from 64 up, in pixels.
        channels: channels of the image.
        latent_dim: length of the latent; 512 in the paper.
        num_classes: 0 for none.
        variant: `t` or `r`.
        base: channels times twice the cutoff; null for 32768, or 65536 in `r`.
        max_channels: most channels of a map; null for 512, or 1024 in `r`.
        style_dim: width of styles and of the mapping's layers.
        mapping_layers: layers of the mapping.
        layers: layers between the waves and the image.
    """

    tiny: ClassVar[dict[str, Any]] = {
        "base": 256,
        "max_channels": 8,
        "style_dim": 16,
        "layers": 6,
    }

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        variant: Literal["t", "r"] = "t",
        base: Annotated[int, at_least(1)] | None = None,
        max_channels: Annotated[int, at_least(1)] | None = None,
        style_dim: Annotated[int, at_least(1)] = 512,
        mapping_layers: Annotated[int, at_least(1)] = 2,
        layers: Annotated[int, at_least(4)] = 14,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        _check_size(image_size)
        turns = variant == "r"
        base = base or (65536 if turns else 32768)
        max_channels = max_channels or (1024 if turns else 512)
        self.mapping = Mapping(latent_dim, style_dim, num_classes, mapping_layers, decay=0.998)
        plan = bands(self.height, channels, layers, base, max_channels)
        self.synthesis = Synthesis(plan, style_dim, turns)
        self.styles = layers + 2

    def synthesize(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        return self.synthesis(w)

    @torch.no_grad()
    def move(self, right: float = 0.0, down: float = 0.0, turn: float = 0.0) -> None:
        """Turn and then shift all images made from here on; `move()` undoes it.

        Args:
            right, down: in image sides.
            turn: in degrees, anticlockwise.
        """
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        # The way back, from a place in the moved image to one in the signal; y points down.
        rows = [[cos, -sin, sin * down - cos * right], [sin, cos, -sin * right - cos * down]]
        self.synthesis.input.transform.copy_(torch.tensor([*rows, [0.0, 0.0, 1.0]]))


def _check_size(image_size: ImageSize) -> None:
    """Refuse what is no square of a power of two, naming the nearest that is."""
    height, width = height_width(image_size)
    side = max(height, width)
    if height == width and side >= SMALLEST and side & (side - 1) == 0:
        return
    below = 2 ** int(math.log2(max(side, SMALLEST)))
    nearest = below if side - below <= 2 * below - side else 2 * below
    shown = str(height) if height == width else f"[{height}, {width}]"
    raise ZooError(
        f"generator stylegan3 cannot work at image_size={shown}: it takes square images of a power "
        f"of two from {SMALLEST} up; the nearest is {nearest}."
    )
