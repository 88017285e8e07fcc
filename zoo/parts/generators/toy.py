"""Generators of points of the plane, as published."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.init import orthogonal_init
from zoo.layers.pacgan import initialise
from zoo.layers.shapes import append_one_hot, check_labels
from zoo.registry import at_least, generator


@generator("toy")
class ToyGenerator(Generator):
    """Fully connected layers of one width with a linear output: PacGAN's or unrolled GAN's.

    For the ring and grid of data set `gaussians`. `pacgan`: 4 layers of 400 without bias, batch
    norm, ReLU, normal latents of length 2. `unrolled`: 2 tanh layers of 128, orthogonal with gain
    1.4 as in the authors' notebook, normal latents of length 256. Labels enter as a one-hot vector
    appended to the latent. Points are where the data set puts them, within [-1, 1], and not bounded
    to it.

    Paper: Lin et al. (2018), arXiv:1712.04086.
    Paper: Metz et al. (2016), arXiv:1611.02163.

    Args:
        image_size: any, also (height, width); points are images of one pixel.
        channels: channels of the image: coordinates of a point.
        latent_dim: length of the latent.
        num_classes: 0 for none.
        variant: which of the two networks.
        width: of the hidden layers; null as published, 400 (`pacgan`) or 128 (`unrolled`).
    """

    bounded = False
    tiny: ClassVar[dict[str, Any]] = {"width": 64}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        variant: Literal["pacgan", "unrolled"] = "pacgan",
        width: Annotated[int, at_least(1)] | None = None,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator toy", image_size, multiple=1, minimum=1, oblong=True)
        normed = variant == "pacgan"
        hidden = width or (400 if normed else 128)
        features = latent_dim + num_classes
        layers: list[nn.Module] = []
        for _ in range(4 if normed else 2):
            layers.append(nn.Linear(features, hidden, bias=not normed))
            layers += [nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)] if normed else [nn.Tanh()]
            features = hidden
        layers.append(nn.Linear(features, channels * self.height * self.width))
        self.layers = nn.Sequential(*layers)
        if normed:
            initialise(self)
        else:
            orthogonal_init(self, 1.4)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, check_labels(self, y), self.num_classes)
        return self.layers(z).view(len(z), self.channels, self.height, self.width)
