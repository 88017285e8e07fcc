"""The PacGAN discriminators for Stacked MNIST."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.norm import critic_norm
from zoo.layers.pacgan import PLANS, initialise, maps
from zoo.registry import at_least, discriminator


@discriminator("pacgan")
class PacGANDiscriminator(Discriminator):
    """PacGAN for Stacked MNIST: strided convolutions with batch norm; odd map sizes round up.

    These are the two networks of the paper, see generator `pacgan`. How many images D sees at once
    is set by the regularizer `packing`; it changes only the input channels of the first
    convolution. Activations are leaky ReLUs.

    Paper: Lin et al. (2018), arXiv:1712.04086.

    Args:
        image_size: side in pixels, or (height, width); at least 3 (`veegan`) or 5 (`unrolled`).
        channels: number of channels of a whole pack of images.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        setting: which of the two networks to build.
        base_channels: number of channels of the first map, doubling from there up to 8 times that;
            null for the published 64 (`veegan`) or 4 (`unrolled`; half of G's, while 2 is the
            paper's quarter).
        norm: kind of norm. `auto` is `batch` as in the paper, or `layer` with `per_sample`, since
            batch statistics would falsify per-image gradients.
        per_sample: whether the training differentiates each image's score separately, as gradient
            penalties do; set from the chosen loss and regularizers.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        setting: Literal["veegan", "unrolled"] = "veegan",
        base_channels: Annotated[int, at_least(1)] | None = None,
        norm: Literal["auto", "batch", "layer", "none"] = "auto",
        per_sample: bool = False,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        plan = PLANS[setting]
        check_image_size(
            "discriminator pacgan", image_size, multiple=1, minimum=plan.smallest + 1, oblong=True
        )
        base = base_channels or plan.discriminator
        sizes = maps(self.height, self.width, plan.smallest)
        widths = [self.in_channels, *(base * min(2**level, 8) for level in range(len(sizes) - 1))]
        layers: list[nn.Module] = []
        for level, (narrow, wide) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(narrow, wide, plan.kernel, 2, padding=plan.kernel // 2))
            if level > 0 or plan.first_norm:
                layers.append(critic_norm(norm, wide, per_sample))
            layers.append(nn.LeakyReLU(plan.slope, inplace=True))
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.attach_head(widths[-1] * sizes[-1][0] * sizes[-1][1])
        initialise(self, truncated=True)

    def features(self, x: Tensor) -> Tensor:
        return self.layers(x)
