"""The fully connected discriminator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.registry import at_least, discriminator


@discriminator("mlp")
class MLPDiscriminator(Discriminator):
    """MLP: fully connected layers of halving width, with leaky ReLU and no norm.

    The widths follow the widespread PyTorch version; the paper does not specify its own.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.

    Args:
        image_size: any side in pixels, or (height, width).
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        width: width of the first hidden layer.
        depth: number of hidden layers, each half as wide as the previous one.
    """

    tiny: ClassVar[dict[str, Any]] = {"width": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        width: Annotated[int, at_least(1)] = 512,
        depth: Annotated[int, at_least(0)] = 2,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator mlp", image_size, multiple=1, minimum=1, oblong=True)
        features = self.in_channels * self.height * self.width
        layers: list[nn.Module] = []
        for level in range(depth):
            hidden = max(width // 2**level, 1)
            layers += [nn.Linear(features, hidden), nn.LeakyReLU(0.2, inplace=True)]
            features = hidden
        self.layers = nn.Sequential(*layers)
        self.attach_head(features)

    def features(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))
