"""The InfoGAN discriminator."""

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
    """InfoGAN for MNIST: two strided convolutions and a fully connected layer, with batch norm.

    This is the trunk that D and Q share; the head `infogan` holds the ends of both. Activations are
    leaky ReLUs. Every layer keeps its bias beside batch norm, as in the authors' code.

    Paper: Chen et al. (2016), arXiv:1606.03657.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base_channels: number of channels of the first map; the second has twice as many.
        hidden: width of the features.
        slope: negative slope of the leaky ReLUs: 0.1 in the paper, 0.01 in the authors' code.
        norm: kind of norm. `auto` is `batch` as in the paper, or `layer` with `per_sample`, since
            batch statistics would falsify per-image gradients.
        per_sample: whether the training differentiates each image's score separately, as gradient
            penalties do; set from the chosen loss and regularizers.
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
        values = 2 * base_channels * (self.height // 4) * (self.width // 4)
        self.layers = nn.Sequential(
            nn.Conv2d(self.in_channels, base_channels, 4, stride=2, padding=1),
            nn.LeakyReLU(slope, inplace=True),
            nn.Conv2d(base_channels, 2 * base_channels, 4, stride=2, padding=1),
            critic_norm(norm, 2 * base_channels, per_sample),
            nn.LeakyReLU(slope, inplace=True),
            nn.Flatten(),
            nn.Linear(values, hidden),
            nn.Unflatten(1, (hidden, 1, 1)),  # `critic_norm` makes norms for maps
            critic_norm(norm, hidden, per_sample),
            nn.LeakyReLU(slope, inplace=True),
            nn.Flatten(),
        )
        self.attach_head(hidden)
        self.apply(dcgan_init)

    def features(self, x: Tensor) -> Tensor:
        return self.layers(x)
