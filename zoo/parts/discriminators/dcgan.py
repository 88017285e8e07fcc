"""The DCGAN discriminator."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.init import dcgan_init
from zoo.layers.norm import critic_norm
from zoo.layers.shapes import common_halvings, to_vector
from zoo.registry import at_least, discriminator


@discriminator("dcgan")
class DCGANDiscriminator(Discriminator):
    """Strided convolutions with batch norm and leaky ReLU, down to a small map.

    Channels double from `base_channels` at each halving, up to 8 times that. No norm after the
    first convolution. The last convolution, to a 1x1 map, is the head's matrix product.

    Paper: Radford et al. (2015), arXiv:1511.06434.

    Args:
        image_size: sides that are multiples of 4 from 8 up, in pixels; may be oblong.
        channels: channels of the image.
        num_classes: 0 for none.
        head: what scores the features.
        base_channels: channels of the first map.
        norm: `auto` is `batch` as in the paper, or `layer` where the method differentiates each
            image's score on its own (`per_sample`), which batch statistics would falsify.
        per_sample: filled from the method.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 8}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 64,
        norm: Literal["auto", "batch", "layer", "none"] = "auto",
        per_sample: bool = False,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator dcgan", image_size, oblong=True)
        height, width, downs = common_halvings(self.height, self.width)
        widths = [self.in_channels, *(base_channels * min(2**level, 8) for level in range(downs))]
        layers: list[nn.Module] = []
        for level, (narrow, wide) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=False))
            if level > 0:
                layers.append(critic_norm(norm, wide, per_sample))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.layers = nn.Sequential(*layers)
        self.attach_head(widths[-1] * height * width, bias=False)
        self.apply(dcgan_init)

    def features(self, x: Tensor) -> Tensor:
        return to_vector(self.layers(x))
