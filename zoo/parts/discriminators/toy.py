"""Discriminators of points in the plane, as published with toy data sets."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.init import orthogonal_init
from zoo.layers.pacgan import initialise
from zoo.layers.product import ProductLinear
from zoo.registry import at_least, discriminator

PIECES = 5
"""Number of linear pieces of PacGAN's maxout units."""


class Maxout(ProductLinear):
    """A linear layer whose outputs are each the largest of several (Goodfellow et al., 2013).

    Args:
        inputs, outputs: numbers of features.
        pieces: number of linear functions per output.
    """

    def __init__(self, inputs: int, outputs: int, pieces: int) -> None:
        super().__init__(inputs, outputs * pieces)
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).unflatten(1, (-1, self.pieces)).amax(2)


@discriminator("toy")
class ToyDiscriminator(Discriminator):
    """PacGAN's and unrolled GAN's discriminators of 2-D points: MLPs of constant width.

    They are made for the ring and the grid of data set `gaussians`. `pacgan`: 3 maxout layers of
    200 with 5 pieces, for any number of points in a pack (regularizer `packing`). `unrolled`: 2
    tanh layers of 128, initialised orthogonally with gain 1.4 as in the authors' notebook.

    Paper: Lin et al. (2018), arXiv:1712.04086.
    Paper: Metz et al. (2016), arXiv:1611.02163.

    Args:
        image_size: any side, or (height, width); points are images of one pixel.
        channels: number of channels, which are the coordinates of the points of a pack.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        variant: which of the two networks to build.
        width: width of the hidden layers; null for the published 200 (`pacgan`) or 128
            (`unrolled`).
    """

    tiny: ClassVar[dict[str, Any]] = {"width": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        variant: Literal["pacgan", "unrolled"] = "pacgan",
        width: Annotated[int, at_least(1)] | None = None,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator toy", image_size, multiple=1, minimum=1, oblong=True)
        maxout = variant == "pacgan"
        hidden = width or (200 if maxout else 128)
        features = self.in_channels * self.height * self.width
        layers: list[nn.Module] = [nn.Flatten()]
        for _ in range(3 if maxout else 2):
            if maxout:
                layers.append(Maxout(features, hidden, PIECES))
            else:
                layers += [nn.Linear(features, hidden), nn.Tanh()]
            features = hidden
        self.layers = nn.Sequential(*layers)
        self.attach_head(hidden)
        if maxout:
            initialise(self)
        else:
            orthogonal_init(self, 1.4)

    def features(self, x: Tensor) -> Tensor:
        return self.layers(x)
