"""The generator of FastGAN and of Projected GAN."""

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
"""The widths of the maps of 4, 8, 16, … 1024 pixels, in `base_channels`."""

EXCITED = (4, 5, 6, 7)
"""Maps (doublings of the first one) that the map of a sixteenth of their side excites."""

SIDE_IMAGE = 5
"""Doublings up to the published side image of 128 pixels."""


@dataclass(frozen=True)
class Variant:
    """What the two papers' networks differ in.

    Attributes:
        plain: of which blocks (two in turn) have one convolution.
        side_image: a 1x1 convolution to a second, smaller image.
        bias: the last convolution has a bias.
        tanh: at 1024 pixels the image goes through tanh.
        normalise: latents are scaled to a mean square of 1.
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
    """Upsampling blocks with GLU and noise, and skip-layer excitation between far maps.

    From 4x4 up by nearest upsampling, spectral-normalised convolutions, batch norm and GLU; the
    maps of 64, 128, 256 and 512 pixels are weighed channel by channel by that of a sixteenth of
    their side. Noise acts in training and is fixed otherwise. Images leave [-1, 1] below 1024
    pixels, where the papers have no tanh. With classes an embedding gives gains and biases of the
    norms, which is Projected GAN's.

    FastGAN also makes a second image of 128 pixels for its D. Here D sees images alone and makes
    the small one itself; the layer, `to_side`, is kept frozen for its count and published weights,
    and `side_image` returns what it makes.

    Paper: Liu et al. (2021), arXiv:2101.04775.
    Paper: Sauer et al. (2021), arXiv:2111.01007.

    Args:
        image_size: 4, 5, 6 or 7 times a power of two from 8 to 256: 32, 40, 48, 56, 64, … 1792.
        channels: channels of the image.
        latent_dim: length of the latent; the papers' is 256.
        num_classes: 0 for none.
        base_channels: width of the map of 128 pixels; the papers' is 64, Projected GAN's 128.
        variant: `fastgan` alternates blocks of two and of one convolution; `projected` has two
            throughout, a bias at the end and latents of mean square 1; `projected_lite` has one.
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
        """FastGAN's second image, of 128 pixels; None of a network without."""
        return None if self.to_side is None else self.to_side(self._maps(z, y)[SIDE_IMAGE])

    def _maps(self, z: Tensor, y: Tensor | None) -> list[Tensor]:
        """The maps of each size, from the smallest on."""
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
