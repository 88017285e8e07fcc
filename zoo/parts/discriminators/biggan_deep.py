"""The BigGAN-deep discriminator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.attention import SelfAttention2d, attention_place
from zoo.layers.biggan import attention_side, generator_widths, sum_over_positions
from zoo.layers.biggan_deep import DeepDiscriminatorBlock
from zoo.layers.init import initialise
from zoo.layers.linear import Conv2d, head_wrap
from zoo.layers.shapes import common_halvings
from zoo.registry import at_least, discriminator


@discriminator("biggan_deep")
class BigGANDeepDiscriminator(Discriminator):
    """BigGAN-deep: two bottleneck blocks per size, whose shortcuts append channels; self-attention.

    A 3x3 convolution is followed by pairs of blocks, of which the first downsamples; features are
    summed over positions. All weights have spectral norm. Labels enter through the head
    `projection`.

    Paper: Brock et al. (2019), arXiv:1809.11096, appendix B.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base_channels: base width. Up to 32 pixels, all maps have 4 times that; above, the width
            rises from once that to 16 times.
        attention: (shorter) side of the map that self-attention is applied to; 0 for none, `auto`
            for half the image's side but at most 64.
        init: initialisation of all weights; `orthogonal` in the paper.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 128,
        attention: Annotated[int, at_least(0)] | Literal["auto"] = "auto",
        init: Literal["orthogonal", "xavier", "normal"] = "orthogonal",
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        part = "discriminator biggan_deep"
        check_image_size(part, image_size, oblong=True)
        doublings = common_halvings(self.height, self.width)[2]
        widths = [m * base_channels for m in generator_widths(doublings)[::-1]]
        # As published: two blocks downsample at 32 pixels, all at 64, all but the last from 128 on.
        halvings = min(doublings, 2) if doublings < 4 else doublings - (doublings > 4)
        self.from_image = Conv2d(self.in_channels, widths[0], 3, padding=1, spectral_norm=True)
        sides = [min(self.height, self.width) >> min(i + 1, halvings) for i in range(doublings)]
        side = attention_side(attention, sides, min(self.height, self.width))
        place = attention_place(side, sides, part)
        blocks: list[nn.Module] = []
        for i in range(doublings):
            blocks.append(DeepDiscriminatorBlock(widths[i], widths[i + 1], pool=i < halvings))
            blocks.append(DeepDiscriminatorBlock(widths[i + 1], widths[i + 1], pool=False))
            if i == place:
                blocks.append(SelfAttention2d(widths[i + 1], spectral_norm=True))
        self.blocks = nn.Sequential(*blocks)
        self.attach_head(widths[-1], head_wrap(spectral_norm=True))
        initialise(self, init)

    def features(self, x: Tensor) -> Tensor:
        return sum_over_positions(self.blocks(self.from_image(x)))
