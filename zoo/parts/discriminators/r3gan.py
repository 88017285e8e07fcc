"""The R3GAN discriminator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.fir import FIR
from zoo.layers.precision import full_precision
from zoo.layers.r3gan import BLOCKS, R3GANBlock, plain_conv, scaled_normal_, stage_widths
from zoo.layers.shapes import common_halvings
from zoo.registry import at_least, discriminator


@discriminator("r3gan")
class R3GANDiscriminator(Discriminator):
    """R3GAN: residual blocks with grouped convolutions, without norms; mirrors R3GAN's generator.

    Two blocks at each size are followed by a FIR filter that halves the map. Of the smallest map,
    each channel is multiplied by a learned map and summed. Under autocast, the smallest map is
    computed in full precision. Labels enter through the head `r3gan`.

    Paper: Huang et al. (2024), arXiv:2501.05441.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        base_channels: width of the four smallest maps.
        group_channels: number of channels per group of the 3x3 convolutions.
        plan: `pyramid` halves the width at each doubling after the fourth map; `constant` keeps it.
    """

    default_conditional_head: ClassVar[str] = "r3gan"
    tiny: ClassVar[dict[str, Any]] = {"base_channels": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 768,
        group_channels: Annotated[int, at_least(1)] = 16,
        plan: Literal["pyramid", "constant"] = "pyramid",
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator r3gan", image_size, oblong=True)
        height, width, downs = common_halvings(self.height, self.width)
        widths = stage_widths(
            f"discriminator r3gan at image_size={image_size}",
            base_channels,
            group_channels,
            downs + 1,
            plan == "constant",
        )
        self.from_image = plain_conv(self.in_channels, widths[-1])
        stages = []
        for i in reversed(range(downs + 1)):
            layers: list[nn.Module] = [
                R3GANBlock(widths[i], group_channels, BLOCKS * len(widths)) for _ in range(BLOCKS)
            ]
            if i > 0:
                layers.append(FIR(down=True))
                if widths[i] != widths[i - 1]:
                    layers.append(plain_conv(widths[i], widths[i - 1]))
            stages.append(nn.Sequential(*layers))
        self.maps = nn.ModuleList(stages)
        self.basis = nn.Parameter(torch.empty(widths[0], height, width))
        scaled_normal_(self.basis)
        self.attach_head(widths[0], _scaled, bias=False)

    def features(self, x: Tensor) -> Tensor:
        h = self.from_image(x)
        for stage in self.maps[:-1]:
            h = stage(h)
        with full_precision(x.device):
            h = self.maps[-1](h.to(self.basis.dtype))
            return (h * self.basis).sum((2, 3))


def _scaled(layer: nn.Module) -> nn.Module:
    """Initialise a head's linear layers like those of the network."""
    if isinstance(layer, nn.Linear):
        scaled_normal_(layer.weight)
    return layer
