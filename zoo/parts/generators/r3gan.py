"""The R3GAN generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.fir import FIR
from zoo.layers.precision import full_precision
from zoo.layers.r3gan import BLOCKS, R3GANBlock, plain_conv, scaled_normal_, stage_widths
from zoo.layers.shapes import check_labels, common_halvings
from zoo.registry import at_least, generator


@generator("r3gan")
class R3GANGenerator(Generator):
    """R3GAN: residual blocks with grouped convolutions, without norms; FIR-filtered upsampling.

    The latent, followed by a linear embedding of the label if there are classes, scales each
    channel of a learned first map (4x4 for powers of two, otherwise what remains after halving
    evenly). Two blocks follow at each size. The last layer is a 1x1 convolution, so images are not
    bounded. Under autocast, the smallest map is computed in full precision.

    Paper: Huang et al. (2024), arXiv:2501.05441.

    The defaults with a latent of 64 are the paper's CIFAR-10 network at 32 pixels and its FFHQ
    networks at 64 and 256 pixels. For its ImageNet networks use `base_channels=1536
    group_channels=32`, at 64 pixels with `plan=constant`. The paper computes the largest maps in
    bfloat16; here the trainer's precision decides.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent; 64 in the paper.
        num_classes: number of classes; 0 for none.
        base_channels: width of the four smallest maps.
        group_channels: number of channels per group of the 3x3 convolutions.
        plan: `pyramid` halves the width at each doubling after the fourth map; `constant` keeps it.
        embedding_dim: length of the label embedding.
    """

    bounded: ClassVar[bool] = False
    tiny: ClassVar[dict[str, Any]] = {"base_channels": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 768,
        group_channels: Annotated[int, at_least(1)] = 16,
        plan: Literal["pyramid", "constant"] = "pyramid",
        embedding_dim: Annotated[int, at_least(1)] = 64,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator r3gan", image_size, oblong=True)
        height, width, ups = common_halvings(self.height, self.width)
        widths = stage_widths(
            f"generator r3gan at image_size={image_size}",
            base_channels,
            group_channels,
            ups + 1,
            plan == "constant",
        )
        self.embedding = None
        if num_classes:
            self.embedding = nn.Embedding(num_classes, embedding_dim)
            # Initialised like a linear layer on one-hot vectors, whose fan-in is `num_classes`.
            nn.init.normal_(self.embedding.weight, 0.0, num_classes**-0.5)
        condition = latent_dim + (embedding_dim if num_classes else 0)
        self.project = nn.Linear(condition, widths[0], bias=False)
        scaled_normal_(self.project.weight)
        self.basis = nn.Parameter(torch.randn(widths[0], height, width))
        stages = []
        for i, wide in enumerate(widths):
            layers: list[nn.Module] = []
            if i > 0:
                if wide != widths[i - 1]:
                    layers.append(plain_conv(widths[i - 1], wide))
                layers.append(FIR(up=True))
            layers += [
                R3GANBlock(wide, group_channels, BLOCKS * len(widths)) for _ in range(BLOCKS)
            ]
            stages.append(nn.Sequential(*layers))
        self.maps = nn.ModuleList(stages)
        self.to_image = plain_conv(widths[-1], channels)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        with full_precision(z.device):
            if self.embedding is not None:
                z = torch.cat([z, self.embedding(check_labels(self, y))], dim=1)
            h = self.maps[0](self.basis * self.project(z)[:, :, None, None])
        for stage in self.maps[1:]:
            h = stage(h)
        return self.to_image(h)
