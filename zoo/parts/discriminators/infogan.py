"""InfoGAN's discriminator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.init import dcgan_init
from zoo.layers.norm import critic_norm
from zoo.registry import at_least, discriminator


@discriminator("infogan")
class InfoGANDiscriminator(Discriminator):
    """Two strided convolutions and a fully connected layer, with batch norm and leaky ReLU.

    The trunk that D and Q share on MNIST; head `infogan` is both of their ends. Every layer keeps
    its bias beside batch norm, as in the authors' code.

    Paper: Chen et al. (2016), arXiv:1606.03657.

    Args:
        image_size: multiples of 4 from 8 up, in pixels, also (height, width).
        channels: channels of the image.
        num_classes: 0 for none.
        head: what scores the features.
        base_channels: channels of the first map, half those of the second.
        hidden: width of the features.
        slope: of the leaky ReLU: 0.1 in the paper, 0.01 in the authors' code.
        norm: `auto` is `batch` as in the paper, or `layer` where the method differentiates each
            image's score on its own (`per_sample`), which batch statistics would falsify.
        per_sample: filled from the method.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4, "hidden": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 64,
        hidden: Annotated[int, at_least(1)] = 1024,
        slope: Annotated[float, at_least(0)] = 0.1,
        norm: Literal["auto", "batch", "layer", "none"] = "auto",
        per_sample: bool = False,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator infogan", image_size, oblong=True)
        mapped = 2 * base_channels * (self.height // 4) * (self.width // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(self.in_channels, base_channels, 4, stride=2, padding=1),
            nn.LeakyReLU(slope, inplace=True),
            nn.Conv2d(base_channels, 2 * base_channels, 4, stride=2, padding=1),
            critic_norm(norm, 2 * base_channels, per_sample),
            nn.LeakyReLU(slope, inplace=True),
            nn.Flatten(),
            nn.Linear(mapped, hidden),
            nn.Unflatten(1, (hidden, 1, 1)),  # a map of one position, for the same choice of norms
            critic_norm(norm, hidden, per_sample),
            nn.LeakyReLU(slope, inplace=True),
            nn.Flatten(),
        )
        self.attach_head(hidden)
        self.apply(dcgan_init)

    def features(self, x: Tensor) -> Tensor:
        return self.layers(x)
