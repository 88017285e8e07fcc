"""The projection discriminator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.core.errors import ZooError
from zoo.layers.linear import head_wrap
from zoo.layers.resnet import ResNetTrunk
from zoo.registry import at_least, discriminator


@discriminator("projection")
class ProjectionDiscriminator(Discriminator):
    """SNGAN's ResNet with the projection head, as in cGANs with projection discriminator.

    The trunk is that of `resnet` with spectral norm and summed features. The network needs labels.

    Paper: Miyato & Koyama (2018), arXiv:1802.05637.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes, at least 1.
        head: the head that scores the features; None for `projection`.
        base_channels: as in `resnet`.
        plan: as in `resnet`.
        attention: as in `resnet`.
    """

    requires_labels = True

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 8}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 128,
        plan: Literal["auto", "constant", "pyramid"] = "auto",
        attention: Annotated[int, at_least(0)] = 0,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head or "projection")
        if num_classes < 1:
            raise ZooError(
                f"discriminator projection needs labels, but num_classes is {num_classes}: use a "
                "data set with classes and model.conditional=true, or discriminator resnet."
            )
        check_image_size("discriminator projection", image_size, oblong=True)
        self.trunk = ResNetTrunk(
            self.in_channels,
            (self.height, self.width),
            base_channels,
            pyramid=plan == "pyramid" or (plan == "auto" and min(self.height, self.width) > 32),
            spectral_norm=True,
            mean=False,
            attention=attention,
            part="discriminator projection",
        )
        self.attach_head(self.trunk.width, head_wrap(spectral_norm=True))

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)
