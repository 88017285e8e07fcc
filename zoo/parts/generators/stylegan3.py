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
"""Number of layers at the end whose cutoff is that of the image."""

MARGIN = 10
"""Extra pixels around the maps, so that shifts bring in more signal instead of a border."""

SMALLEST = 64


def bands(image_size: int, channels: int, layers: int, base: int, max_channels: int) -> list[Band]:
    """Return the bands of the maps after each of `layers` layers and after the layer to the image.

    Entry i describes the maps after layer i; the input has the band of entry 0. Cutoffs grow
    geometrically from 2 to half the image's pixels and stay there for the last layers.

    Args:
        image_size: side of the image in pixels.
        channels: number of image channels.
        layers: number of layers between the input and the layer to the image.
        base: product of a map's channels and twice its cutoff, before `max_channels` applies.
        max_channels: largest number of channels of a map.
    """
    plan = []
    first_stop, last_stop = 2**2.1, image_size / 2 * 2**0.3
    for i in range(layers + 1):
        progress = min(i / (layers - CRITICAL), 1)
        cutoff = 2 * (image_size / 4) ** progress
        stop = first_stop * (last_stop / first_stop) ** progress
        rate = 2 ** math.ceil(math.log2(min(2 * stop, image_size)))
        last = i >= layers - 1
        width = channels if i == layers else round(min(base / 2 / cutoff, max_channels))
        plan.append(
            Band(
                rate=rate,
                cutoff=cutoff,
                half_width=max(stop, rate / 2) - cutoff,
                size=image_size if last else rate + 2 * MARGIN,
                channels=max(width, 1),
            )
        )
    return plan


class Synthesis(nn.Module):
    """The synthesis network, from styles (N, layers + 2, W) to images.

    It consists of the Fourier input, the layers, and the layer to the image.
    """

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
        # Untrained weights give a standard deviation of about 1; the factor keeps images in range.
        return x.to(torch.promote_types(x.dtype, torch.float32)) / 4


@generator("stylegan3")
class StyleGAN3Generator(StyledGenerator):
    """StyleGAN3: alias-free layers on Fourier features; details move with the image, not the grid.

    Paper: Karras et al. (2021), arXiv:2106.12423.

    Maps are samples of a signal that is band-limited by a cutoff which grows from layer to layer.
    Every leaky ReLU acts at twice the sampling rate or more, between low-pass filters. Variant `t`
    is equivariant to shifts, `r` to rotations too: it has 1x1 convolutions with twice the channels,
    and radially symmetric filters.

    In the paper, the running input magnitudes and the mean style are updated in one pass per step;
    here, in every training pass. Filters run in the precision of the maps, so bf16 costs
    equivariance. Activations are clamped at 256 in half precision only. Each class has its own mean
    style.

    Args:
        image_size: side in pixels, a power of two, at least 64.
        channels: number of image channels.
        latent_dim: length of the latent; 512 in the paper.
        num_classes: number of classes; 0 for none.
        variant: `t` for shifts only, `r` for rotations too.
        base: product of a map's channels and twice its cutoff, before `max_channels` applies; null
            for 32768, or 65536 in `r`.
        max_channels: largest number of channels of a map; null for 512, or 1024 in `r`.
        style_dim: width of the styles and of the mapping network's layers.
        mapping_layers: number of layers of the mapping network.
        layers: number of layers between the Fourier input and the layer to the image.
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
        """Rotate, then shift all images generated from now on; `move()` resets this.

        Args:
            right, down: shift in image sides.
            turn: rotation in degrees, anticlockwise.
        """
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        # The inverse, from a point of the moved image to a point of the signal; y points down.
        rows = [[cos, -sin, sin * down - cos * right], [sin, cos, -sin * right - cos * down]]
        self.synthesis.input.transform.copy_(torch.tensor([*rows, [0.0, 0.0, 1.0]]))


def _check_size(image_size: ImageSize) -> None:
    """Refuse sizes that are not square or not a power of two, naming the nearest valid one."""
    height, width = height_width(image_size)
    side = max(height, width)
    if height == width and side >= SMALLEST and side & (side - 1) == 0:
        return
    below = 2 ** int(math.log2(max(side, SMALLEST)))
    nearest = below if side - below <= 2 * below - side else 2 * below
    shown = str(height) if height == width else f"[{height}, {width}]"
    raise ZooError(
        f"generator stylegan3 cannot work at image_size={shown}: it takes square images whose side "
        f"is a power of two from {SMALLEST} up; the nearest is {nearest}."
    )
