"""The StyleGAN2 discriminator."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.equalized import EqualizedConv2d, EqualizedLinear, equalize
from zoo.layers.minibatch import MinibatchStandardDeviation
from zoo.layers.shapes import map_sizes, to_vector
from zoo.registry import at_least, discriminator


class DiscriminatorBlock(nn.Module):
    """Two 3x3 convolutions with leaky ReLU, of which the second downsamples; optionally a shortcut.

    Maps (N, inputs, H, W) to (N, outputs, H/2, W/2). The shortcut is a 1x1 convolution of the
    downsampled map; with it, both branches have gain sqrt(1/2).
    """

    def __init__(self, inputs: int, outputs: int, residual: bool) -> None:
        super().__init__()
        gain = math.sqrt(0.5) if residual else 1.0
        self.conv = EqualizedConv2d(inputs, inputs, 3, activate=True)
        self.down = EqualizedConv2d(inputs, outputs, 3, activate=True, gain=gain, down=True)
        self.shortcut = (
            EqualizedConv2d(inputs, outputs, 1, bias=False, gain=gain, down=True)
            if residual
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.down(self.conv(x))
        return h if self.shortcut is None else h + self.shortcut(x)


@discriminator("stylegan2")
class StyleGAN2Discriminator(Discriminator):
    """StyleGAN2: FIR-filtered downsampling, equalised learning rate, minibatch standard deviation.

    Paper: Karras et al. (2020), arXiv:1912.04958, arXiv:2006.06676.

    Maps with a longer side of r pixels have min(`base` / r, `max_channels`) channels. Before the
    last convolution, minibatch standard deviation tells D how much the images of a group differ.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base: product of a map's channels and its longer side, before `max_channels` applies; 16384
            in the second paper's paper256.
        max_channels: largest number of channels of a map.
        architecture: `resnet` has shortcuts, `orig` has none; `auto` is `orig` up to 32 pixels (the
            second paper on CIFAR-10), else `resnet`.
        mbstd_group: number of images per group for the minibatch standard deviation, 0 to leave it
            out; null for 32 up to 32 pixels, else 4, as in the papers (8 in paper256). A batch that
            it does not divide is split into groups of the nearest size that does.
    """

    default_conditional_head = "stylegan2"
    tiny: ClassVar[dict[str, Any]] = {"base": 256, "max_channels": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base: Annotated[int, at_least(1)] = 32768,
        max_channels: Annotated[int, at_least(1)] = 512,
        architecture: Literal["auto", "resnet", "orig"] = "auto",
        mbstd_group: Annotated[int, at_least(0)] | None = None,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator stylegan2", image_size, oblong=True)
        small = max(self.height, self.width) <= 32
        residual = architecture == "resnet" or (architecture == "auto" and not small)
        group = (32 if small else 4) if mbstd_group is None else mbstd_group
        sizes = map_sizes(self.height, self.width)
        widths = [max(min(base // max(size), max_channels), 1) for size in sizes]
        self.from_image = EqualizedConv2d(self.in_channels, widths[0], 1, activate=True)
        self.blocks = nn.ModuleList(DiscriminatorBlock(*w, residual) for w in pairwise(widths))
        last, (height, width) = widths[-1], sizes[-1]
        self.spread = MinibatchStandardDeviation(group) if group else nn.Identity()
        self.conv = EqualizedConv2d(last + (group > 0), last, 3, activate=True)
        self.linear = EqualizedLinear(last * height * width, last, activate=True)
        self.attach_head(last, equalize)

    def features(self, x: Tensor) -> Tensor:
        x = self.from_image(x)
        for block in self.blocks:
            x = block(x)
        return self.linear(to_vector(self.conv(self.spread(x))))
