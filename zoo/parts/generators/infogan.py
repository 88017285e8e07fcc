"""The InfoGAN generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.init import dcgan_init
from zoo.layers.shapes import append_one_hot, check_labels
from zoo.registry import at_least, generator


@generator("infogan")
class InfoGANGenerator(Generator):
    """InfoGAN for MNIST: two fully connected layers, two transposed convolutions, batch norm.

    With `model/latent=codes` and `model.latent_dim=74` it gets the paper's input. Every layer keeps
    its bias beside batch norm, as in the authors' code. Deviation: images are in [-1, 1] and end in
    tanh, where the paper's are in [0, 1] and end in a sigmoid. Labels are appended to the latent as
    one-hot vectors.

    Paper: Chen et al. (2016), arXiv:1606.03657.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent, codes included.
        num_classes: number of classes; 0 for none.
        base_channels: number of channels of the last hidden map; the first has twice as many.
        hidden: width of the first layer.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4, "hidden": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 64,
        hidden: Annotated[int, at_least(1)] = 1024,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator infogan", image_size, oblong=True)
        start = (2 * base_channels, self.height // 4, self.width // 4)
        values = start[0] * start[1] * start[2]
        self.layers = nn.Sequential(
            nn.Linear(latent_dim + num_classes, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, values),
            nn.BatchNorm1d(values),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, start),
            nn.ConvTranspose2d(2 * base_channels, base_channels, 4, stride=2, padding=1),
            nn.BatchNorm2d(base_channels),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(base_channels, channels, 4, stride=2, padding=1),
        )
        self.apply(dcgan_init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, check_labels(self, y), self.num_classes)
        return torch.tanh(self.layers(z))
