"""Generators of points in the plane, as published with toy data sets."""

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
    """PacGAN's and unrolled GAN's generators of 2-D points: MLPs of constant width, linear output.

    They are made for the ring and the grid of data set `gaussians`. `pacgan`: 4 layers of 400
    without bias, batch norm, ReLU, normal latents of length 2. `unrolled`: 2 tanh layers of 128,
    initialised orthogonally with gain 1.4 as in the authors' notebook, normal latents of length
    256. Labels are appended to the latent as one-hot vectors. Points lie where the data set puts
    them, within [-1, 1], but the output is not bounded to that range.

    Paper: Lin et al. (2018), arXiv:1712.04086.
    Paper: Metz et al. (2016), arXiv:1611.02163.

    Args:
        image_size: any side, or (height, width); points are images of one pixel.
        channels: number of image channels, which are the coordinates of a point.
        latent_dim: length of the latent.
        num_classes: number of classes; 0 for none.
        variant: which of the two networks to build.
        width: width of the hidden layers; null for the published 400 (`pacgan`) or 128
            (`unrolled`).
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
        has_norm = variant == "pacgan"
        hidden = width or (400 if has_norm else 128)
        features = latent_dim + num_classes
        layers: list[nn.Module] = []
        for _ in range(4 if has_norm else 2):
            layers.append(nn.Linear(features, hidden, bias=not has_norm))
            layers += [nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)] if has_norm else [nn.Tanh()]
            features = hidden
        layers.append(nn.Linear(features, channels * self.height * self.width))
        self.layers = nn.Sequential(*layers)
        if has_norm:
            initialise(self)
        else:
            orthogonal_init(self, 1.4)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, check_labels(self, y), self.num_classes)
        return self.layers(z).view(len(z), self.channels, self.height, self.width)
