"""The SAGAN discriminator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.biggan import DiscriminatorBody, discriminator_plan
from zoo.layers.init import initialise
from zoo.layers.linear import head_wrap
from zoo.layers.shapes import common_halvings
from zoo.registry import at_least, discriminator


@discriminator("sagan")
class SAGANDiscriminator(Discriminator):
    """SAGAN: residual blocks with spectral norm and self-attention; sum-pooled features.

    This is the body of `biggan`. Labels enter through the head `projection`, whose embedding has
    spectral norm too. Up to 32 pixels, all maps have 2 times `base_channels` channels; above,
    `base_channels` after the image and up to 16 times that.

    Paper: Zhang et al. (2019), arXiv:1805.08318.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base_channels: base width, of which all widths are multiples.
        attention: (shorter) side of the map that self-attention is applied to; 0 for none, `auto`
            for half the image's side but at most 64.
        init: initialisation of all weights; `orthogonal` in StudioGAN, `xavier` in mimicry.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 64,
        attention: Annotated[int, at_least(0)] | Literal["auto"] = "auto",
        init: Literal["orthogonal", "xavier", "normal"] = "orthogonal",
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator sagan", image_size, oblong=True)
        multiples, halvings = discriminator_plan(common_halvings(self.height, self.width)[2])
        self.body = DiscriminatorBody(
            self.in_channels,
            min(self.height, self.width),
            [m * base_channels for m in multiples],
            halvings,
            attention,
            part="discriminator sagan",
        )
        self.attach_head(self.body.width, head_wrap(spectral_norm=True))
        initialise(self, init)

    def features(self, x: Tensor) -> Tensor:
        return self.body(x)
