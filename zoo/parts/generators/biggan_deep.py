"""The BigGAN-deep generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.attention import SelfAttention2d, attention_place
from zoo.layers.biggan import NORM_EPS, attention_side, generator_widths
from zoo.layers.biggan_deep import DeepGeneratorBlock
from zoo.layers.init import initialise, orthogonal
from zoo.layers.linear import Conv2d, Linear
from zoo.layers.shapes import check_labels, common_halvings, to_map
from zoo.registry import at_least, generator


@generator("biggan_deep")
class BigGANDeepGenerator(Generator):
    """BigGAN-deep: two bottleneck blocks per size, whose shortcuts drop channels; self-attention.

    Every batch norm and the first layer are conditioned on the whole latent followed by the label's
    embedding, which all share and which has no spectral norm. All other weights have spectral norm;
    the last batch norm is unconditional.

    Paper: Brock et al. (2019), arXiv:1809.11096, appendix B.

    The defaults with a latent of 128 are the authors' networks at 64, 128 and 256 pixels, and their
    analogue at 32 pixels. (StudioGAN uses this name for another network, with convolutions in all
    shortcuts.)

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent; 128 in the paper.
        num_classes: number of classes; 0 for none.
        base_channels: base width. Up to 32 pixels, all maps have 4 times that; above, the width
            rises from once that (twice at 64 pixels) before the image to 16 times.
        shared_dim: length of the label embedding.
        attention: (shorter) side of the map that self-attention is applied to; 0 for none, `auto`
            for half the image's side but at most 64.
        init: initialisation of all weights; `orthogonal` in the paper.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4, "shared_dim": 8}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 128,
        shared_dim: Annotated[int, at_least(1)] = 128,
        attention: Annotated[int, at_least(0)] | Literal["auto"] = "auto",
        init: Literal["orthogonal", "xavier", "normal"] = "orthogonal",
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        part = "generator biggan_deep"
        check_image_size(part, image_size, oblong=True)
        height, width, doublings = common_halvings(self.height, self.width)
        self.start = height, width
        multiples = (16, 16, 8, 4, 2) if doublings == 4 else generator_widths(doublings)
        widths = [m * base_channels for m in multiples]
        condition_dim = latent_dim
        self.embedding = None
        if num_classes:
            condition_dim += shared_dim
            self.embedding = nn.Embedding(num_classes, shared_dim)
            orthogonal(self.embedding.weight)
        self.project = Linear(condition_dim, height * width * widths[0], spectral_norm=True)
        self.blocks = nn.ModuleList()
        for i in range(doublings):
            self.blocks.append(DeepGeneratorBlock(widths[i], widths[i], condition_dim, up=False))
            self.blocks.append(DeepGeneratorBlock(widths[i], widths[i + 1], condition_dim, up=True))
        sides = [min(self.start) << (i + 1) for i in range(doublings)]
        place = attention_place(attention_side(attention, sides, sides[-1]), sides, part)
        self.attends_after = None
        if place is not None:
            self.attends_after = 2 * place + 1
            self.attention = SelfAttention2d(widths[place + 1], spectral_norm=True)
        self.norm = nn.BatchNorm2d(widths[-1], eps=NORM_EPS)
        self.to_image = Conv2d(widths[-1], channels, 3, padding=1, spectral_norm=True)
        initialise(self, init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            z = torch.cat([z, self.embedding(check_labels(self, y))], dim=1)
        h = to_map(self.project(z), *self.start)
        for i, block in enumerate(self.blocks):
            h = block(h, z)
            if i == self.attends_after:
                h = self.attention(h)
        return torch.tanh(self.to_image(F.relu(self.norm(h), inplace=True)))
