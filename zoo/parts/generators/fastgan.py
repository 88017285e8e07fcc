"""The generator of FastGAN and Projected GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, height_width
from zoo.layers.fastgan import GeneratorBlock, SkipExcitation, Start, conv, fastgan_init
from zoo.layers.norm import second_moment_norm
from zoo.layers.shapes import check_labels, halvings
from zoo.layers.sizes import check_doublings
from zoo.registry import at_least, generator

WIDTHS = (16, 8, 4, 2, 2, 1, 1 / 2, 1 / 4, 1 / 8)
"""Widths of the maps of 4, 8, 16, … 1024 pixels, as multiples of `base_channels`."""

EXCITED = (4, 5, 6, 7)
"""Maps, by number of doublings, that are excited by the map of a sixteenth of their side."""

SIDE_IMAGE = 5
"""Number of doublings after which the published side image of 128 pixels is made."""


@dataclass(frozen=True)
class Variant:
    """How the networks of the two papers differ.

    Attributes:
        plain: whether the blocks at even and at odd positions have one convolution instead of two.
        side_image: whether a 1x1 convolution makes a second, smaller image.
        bias: whether the last convolution has a bias.
        tanh: whether the image goes through tanh at 1024 pixels.
        normalise: whether latents are scaled to a mean square of 1.
    """

    plain: tuple[bool, bool]
    side_image: bool = False
    bias: bool = True
    tanh: bool = False
    normalise: bool = True


VARIANTS = {
    "fastgan": Variant((False, True), side_image=True, bias=False, tanh=True, normalise=False),
    "projected": Variant((False, False)),
    "projected_lite": Variant((True, True)),
}


@generator("fastgan")
class FastGANGenerator(Generator):
    """FastGAN: upsampling blocks with GLU and noise, skip-layer excitation between distant maps.

    The map grows from 4x4 by nearest upsampling, spectral-normalised convolutions, batch norm and
    GLU. The channels of the maps of 64, 128, 256 and 512 pixels are reweighted by the map of a
    sixteenth of their side. Noise is random in training and fixed otherwise. Below 1024 pixels,
    where the papers use no tanh, images can leave [-1, 1]. With classes, a label embedding gives
    the gains and biases of the norms, as in Projected GAN.

    FastGAN also makes a second image of 128 pixels for its D. Here D takes only images and
    downscales them itself; the layer, `to_side`, is kept and frozen so that parameter counts and
    published weights match, and `side_image` returns its output.

    Paper: Liu et al. (2021), arXiv:2101.04775.
    Paper: Sauer et al. (2021), arXiv:2111.01007.

    Args:
        image_size: side in pixels: 4, 5, 6 or 7 times a power of two from 8 to 256, that is 32, 40,
            48, 56, 64, … 1792.
        channels: number of image channels.
        latent_dim: length of the latent; 256 in the papers.
        num_classes: number of classes; 0 for none.
        base_channels: width of the map of 128 pixels; 64 in FastGAN's paper, 128 in Projected
            GAN's.
        variant: `fastgan` alternates blocks of two and of one convolution; `projected` uses two
            throughout, a bias in the last layer and latents of mean square 1; `projected_lite` uses
            one.
    """

    bounded = False
    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 64,
        variant: Literal["fastgan", "projected", "projected_lite"] = "fastgan",
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_doublings("generator fastgan", image_size)
        self.plan = VARIANTS[variant]
        start, ups = halvings(height_width(image_size)[0])
        widths = [max(int(base_channels * times), 1) for times in WIDTHS]
        self.embedding = nn.Embedding(num_classes, latent_dim) if num_classes else None
        embedded = latent_dim if num_classes else 0
        self.start = Start(latent_dim, 2 * widths[0], start)
        self.norm = nn.BatchNorm2d(2 * widths[0])
        self.blocks = nn.ModuleList(
            GeneratorBlock(
                widths[i], widths[i + 1], start << (i + 1), self.plan.plain[i % 2], embedded
            )
            for i in range(ups)
        )
        self.excitations = nn.ModuleDict(
            {str(i): SkipExcitation(widths[i - 4], widths[i]) for i in EXCITED if i <= ups}
        )
        self.to_image = conv(widths[ups], channels, 3, 1, 1, bias=self.plan.bias)
        self.to_side: nn.Module | None = None
        if self.plan.side_image and ups > SIDE_IMAGE:
            self.to_side = conv(widths[SIDE_IMAGE], channels, 1)
        self.tanh = self.plan.tanh and ups == len(WIDTHS) - 1
        fastgan_init(self)
        if self.to_side is not None:
            self.to_side.requires_grad_(False)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        image = self.to_image(self._maps(z, y)[-1])
        return torch.tanh(image) if self.tanh else image

    def side_image(self, z: Tensor, y: Tensor | None = None) -> Tensor | None:
        """Return FastGAN's second image, of 128 pixels, or None if the network has none."""
        return None if self.to_side is None else self.to_side(self._maps(z, y)[SIDE_IMAGE])

    def _maps(self, z: Tensor, y: Tensor | None) -> list[Tensor]:
        """Return the maps of all sizes, the smallest first."""
        c = None if self.embedding is None else self.embedding(check_labels(self, y))
        if self.plan.normalise:
            z = second_moment_norm(z)
        maps = [F.glu(self.norm(self.start(z)), dim=1)]
        for i, block in enumerate(self.blocks, 1):
            h = block(maps[-1], c)
            if str(i) in self.excitations:
                h = self.excitations[str(i)](maps[i - 4], h)
            maps.append(h)
        return maps
