"""The ResNet generator of WGAN-GP and SNGAN."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.attention import SelfAttention2d, attention_place
from zoo.layers.linear import Conv2d, Linear
from zoo.layers.resnet import ConditionalAdaIN, ConditionalBatchNorm2d, GeneratorBlock
from zoo.layers.shapes import check_labels, common_halvings, to_map
from zoo.registry import at_least, generator


@generator("resnet")
class ResNetGenerator(Generator):
    """ResNet of WGAN-GP and SNGAN: residual upsampling blocks; conditional batch norm for labels.

    256 channels are those of SNGAN at 32 pixels; `base_channels=128` is WGAN-GP as published. The
    last batch norm is unconditional.

    Paper: Gulrajani et al. (2017), arXiv:1704.00028.
    Paper: Miyato et al. (2018), arXiv:1802.05957.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent.
        num_classes: number of classes; 0 for none.
        base_channels: width of every map in the `constant` plan, and a quarter of the largest width
            in the `pyramid` plan.
        plan: `constant` keeps the width (the papers at 32 pixels); `pyramid` starts at
            `base_channels` / 4 before the image and doubles towards the latent (the papers at 48
            and 64 pixels); `auto` is `constant` up to 32 pixels and `pyramid` above.
        attention: (shorter) side of the map that self-attention is applied to, for instance 16; 0
            for none (Zhang et al., 2019, arXiv:1805.08318).
        spectral_norm: whether to normalise the weights of all convolutions and of the first layer,
            as in SAGAN.
        conditioning: how the label enters: `batch_norm` (conditional batch norm), or `adain`
            (conditional instance norm); without classes, plain batch norm is used in either case.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 256,
        plan: Literal["auto", "constant", "pyramid"] = "auto",
        attention: Annotated[int, at_least(0)] = 0,
        spectral_norm: bool = False,
        conditioning: Literal["batch_norm", "adain"] = "batch_norm",
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator resnet", image_size, oblong=True)
        height, width, ups = common_halvings(self.height, self.width)
        self.start = height, width
        if plan == "pyramid" or (plan == "auto" and min(self.height, self.width) > 32):
            widths = [max(base_channels * min(2**i, 16) // 4, 1) for i in range(ups, -1, -1)]
        else:
            widths = [base_channels] * (ups + 1)
        self.project = Linear(latent_dim, height * width * widths[0], spectral_norm=spectral_norm)
        adain = conditioning == "adain" and num_classes > 0
        kind = ConditionalAdaIN if adain else ConditionalBatchNorm2d

        def norm(width: int) -> nn.Module:
            return kind(width, num_classes)

        self.blocks = nn.ModuleList(
            GeneratorBlock(widths[i], widths[i + 1], norm, spectral_norm) for i in range(ups)
        )
        sides = [min(self.start) << (i + 1) for i in range(ups)]
        self.attends_after = attention_place(attention, sides, "generator resnet")
        if self.attends_after is not None:
            self.attention = SelfAttention2d(widths[self.attends_after + 1], spectral_norm)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.to_image = Conv2d(widths[-1], channels, 3, padding=1, spectral_norm=spectral_norm)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            y = check_labels(self, y)
        h = to_map(self.project(z), *self.start)
        for i, block in enumerate(self.blocks):
            h = block(h, y)
            if i == self.attends_after:
                h = self.attention(h)
        return torch.tanh(self.to_image(F.relu(self.norm(h), inplace=True)))
