"""The spectral-norm CNN of the SNGAN paper."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.linear import Conv2d, head_wrap
from zoo.layers.shapes import to_vector
from zoo.registry import at_least, discriminator


@discriminator("sn_cnn")
class SNCNNDiscriminator(Discriminator):
    """Standard CNN of SNGAN: seven spectral-normalised convolutions with leaky ReLU.

    3x3 convolutions alternate with 4x4 ones of stride 2. The last map has an eighth of the image's
    side (rounded down) and 8 times `base_channels` channels.

    Paper: Miyato et al. (2018), arXiv:1802.05957.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base_channels: number of channels of the first map.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 64,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator sn_cnn", image_size, oblong=True)
        width = base_channels
        convs: list[nn.Module] = [Conv2d(self.in_channels, width, 3, padding=1, spectral_norm=True)]
        for _ in range(3):
            convs += [
                Conv2d(width, width, 4, stride=2, padding=1, spectral_norm=True),
                Conv2d(width, 2 * width, 3, padding=1, spectral_norm=True),
            ]
            width *= 2
        self.convs = nn.ModuleList(convs)
        self.attach_head(
            width * (self.height // 8) * (self.width // 8), head_wrap(spectral_norm=True)
        )

    def features(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.1, inplace=True)
        return to_vector(x)
