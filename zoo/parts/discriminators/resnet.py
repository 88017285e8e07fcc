"""The ResNet discriminator of SNGAN and critic of WGAN-GP."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.linear import head_wrap
from zoo.layers.resnet import ResNetTrunk
from zoo.registry import at_least, discriminator


@discriminator("resnet")
class ResNetDiscriminator(Discriminator):
    """SNGAN's ResNet, or without spectral norm the critic of WGAN-GP; no batch norm.

    With `spectral_norm=true` it is SNGAN's discriminator, which sums the features over positions;
    without, the critic of WGAN-GP, which averages them.

    Paper: Gulrajani et al. (2017), arXiv:1704.00028.
    Paper: Miyato et al. (2018), arXiv:1802.05957.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base_channels: width of every map in the `constant` plan; in the `pyramid` plan the first
            map has half of it, and the widest up to 8 times that.
        spectral_norm: whether to normalise every weight.
        pooling: how features are pooled over positions; `auto` is `sum` with spectral norm, else
            `mean`.
        plan: `constant` keeps the width (the papers at 32 pixels); `pyramid` doubles it at each
            halving (48 pixels and more); `auto` is `constant` up to 32 pixels and `pyramid` above.
        attention: (shorter) side of the map that self-attention is applied to, for instance 16; 0
            for none (Zhang et al., 2019, arXiv:1805.08318).
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 8}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 128,
        spectral_norm: bool = True,
        pooling: Literal["auto", "sum", "mean"] = "auto",
        plan: Literal["auto", "constant", "pyramid"] = "auto",
        attention: Annotated[int, at_least(0)] = 0,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator resnet", image_size, oblong=True)
        self.trunk = ResNetTrunk(
            self.in_channels,
            (self.height, self.width),
            base_channels,
            pyramid=plan == "pyramid" or (plan == "auto" and min(self.height, self.width) > 32),
            spectral_norm=spectral_norm,
            mean=pooling == "mean" or (pooling == "auto" and not spectral_norm),
            attention=attention,
        )
        self.attach_head(self.trunk.width, head_wrap(spectral_norm))

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)
