"""The PacGAN generators for Stacked MNIST."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.pacgan import PLANS, initialise, maps
from zoo.layers.shapes import append_one_hot, check_labels
from zoo.registry import at_least, generator


@generator("pacgan")
class PacGANGenerator(Generator):
    """PacGAN for Stacked MNIST: transposed convolutions with batch norm; odd map sizes round up.

    The paper has two networks: `veegan` is a DCGAN with 5x5 kernels from a 2x2 map up, `unrolled` a
    small one with 3x3 kernels from a 4x4 map up and a last convolution at full size. The sides of
    the maps, from the image down, are 28, 14, 7, 4 and for `veegan` 2. Latents are uniform of
    length 100 for `veegan`, and normal of length 256 for `unrolled`. Every layer keeps its bias
    beside batch norm. Padding is symmetric, which amounts to a mirror image of the authors' "same"
    padding. Labels are appended to the latent as one-hot vectors.

    Paper: Lin et al. (2018), arXiv:1712.04086.

    Args:
        image_size: side in pixels, or (height, width); at least 3 (`veegan`) or 5 (`unrolled`).
        channels: number of image channels.
        latent_dim: length of the latent.
        num_classes: number of classes; 0 for none.
        setting: which of the two networks to build.
        base_channels: number of channels of the last hidden map, doubling towards the latent up to
            8 times that; null for the published 64 (`veegan`) or 8 (`unrolled`).
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        setting: Literal["veegan", "unrolled"] = "veegan",
        base_channels: Annotated[int, at_least(1)] | None = None,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        plan = PLANS[setting]
        check_image_size(
            "generator pacgan", image_size, multiple=1, minimum=plan.smallest + 1, oblong=True
        )
        base = base_channels or plan.generator
        sizes = maps(self.height, self.width, plan.smallest)
        hidden = sizes if plan.last_conv else sizes[1:]
        widths = [base * min(2**level, 8) for level in range(len(hidden))]
        height, width = sizes[-1]
        layers: list[nn.Module] = [
            nn.Linear(latent_dim + num_classes, widths[-1] * height * width),
            nn.Unflatten(1, (widths[-1], height, width)),
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(inplace=True),
        ]

        def up(inputs: int, outputs: int, small: tuple[int, int], large: tuple[int, int]) -> None:
            odd = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            layers.append(
                nn.ConvTranspose2d(
                    inputs, outputs, plan.kernel, 2, padding=plan.kernel // 2, output_padding=odd
                )
            )

        steps = zip(pairwise(reversed(widths)), pairwise(reversed(hidden)), strict=True)
        for (wider, narrower), (small, large) in steps:
            up(wider, narrower, small, large)
            layers += [nn.BatchNorm2d(narrower), nn.ReLU(inplace=True)]
        if plan.last_conv:
            layers.append(nn.Conv2d(widths[0], channels, 3, padding=1))
        else:
            up(widths[0], channels, sizes[1], sizes[0])
        self.layers = nn.Sequential(*layers)
        initialise(self)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, check_labels(self, y), self.num_classes)
        return torch.tanh(self.layers(z))
