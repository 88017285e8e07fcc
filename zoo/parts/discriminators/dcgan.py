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
    """DCGAN: strided convolutions with batch norm and leaky ReLU, down to a small map.

    Channels double from `base_channels` at each halving, up to 8 times that. There is no norm after
    the first convolution. The paper's last convolution, to a 1x1 map, is the head's linear layer
    here.

    Paper: Radford et al. (2015), arXiv:1511.06434.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base_channels: number of channels of the first map.
        norm: kind of norm. `auto` is `batch` as in the paper, or `layer` with `per_sample`, since
            batch statistics would falsify per-image gradients.
        per_sample: whether the training differentiates each image's score separately, as gradient
            penalties do; set from the chosen loss and regularizers.
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
