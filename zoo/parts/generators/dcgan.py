"""The DCGAN generator."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.init import dcgan_init
from zoo.layers.shapes import append_one_hot, check_labels, common_halvings, to_map
from zoo.registry import at_least, generator


@generator("dcgan")
class DCGANGenerator(Generator):
    """DCGAN: transposed convolutions with batch norm, from a small map up to the image.

    The first map is 4x4 for powers of two, otherwise what remains after halving evenly (7x7 for
    28). From `base_channels` before the image, channels double towards the first map, up to 8 times
    that. Labels are appended to the latent as one-hot vectors.

    Paper: Radford et al. (2015), arXiv:1511.06434.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent.
        num_classes: number of classes; 0 for none.
        base_channels: number of channels of the last hidden map.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 8}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 64,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator dcgan", image_size, oblong=True)
        *self.start, ups = common_halvings(self.height, self.width)
        widths = [base_channels * min(2**level, 8) for level in reversed(range(ups))]
        # The paper's first layer, a transposed convolution of a 1x1 map, as a matrix product.
        self.project = nn.Linear(
            latent_dim + num_classes, math.prod(self.start) * widths[0], bias=False
        )
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        for wider, width in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(wider, width, 4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
        layers.append(nn.ConvTranspose2d(widths[-1], channels, 4, stride=2, padding=1, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(dcgan_init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, check_labels(self, y), self.num_classes)
        return torch.tanh(self.layers(to_map(self.project(z), *self.start)))
