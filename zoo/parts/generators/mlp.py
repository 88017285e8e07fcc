"""The fully connected generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.core.errors import ZooError
from zoo.layers.shapes import append_one_hot, check_labels
from zoo.registry import at_least, generator

_WIDEST = 2**20
"""The most features of a layer: between two such there are terabytes of weights."""


@generator("mlp")
class MLPGenerator(Generator):
    """Fully connected layers that double in width, with batch norm from the second one on.

    Labels enter as a one-hot vector appended to the latent. The widths, the norm and the leaky
    ReLU are those of the widespread PyTorch version; the paper's own MLPs are not specified.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.

    Args:
        image_size: any side in pixels, or [height, width].
        channels: channels of the image.
        latent_dim: length of the latent.
        num_classes: 0 for none.
        width: width of the first hidden layer.
        depth: number of hidden layers, each twice as wide as the one before.
    """

    tiny: ClassVar[dict[str, Any]] = {"width": 16, "depth": 3}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        width: Annotated[int, at_least(1)] = 128,
        depth: Annotated[int, at_least(0)] = 4,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator mlp", image_size, multiple=1, minimum=1, oblong=True)
        fits = max((_WIDEST // width).bit_length(), 1)
        if width > _WIDEST or depth > fits:
            raise ZooError(
                f"generator mlp: width={width} must be {_WIDEST} or less, and depth={depth} then "
                f"{fits} or less, for every layer is twice as wide as the one before."
            )
        features = latent_dim + num_classes
        layers: list[nn.Module] = []
        for level in range(depth):
            layers.append(nn.Linear(features, width * 2**level))
            features = width * 2**level
            if level > 0:
                layers.append(nn.BatchNorm1d(features))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        layers.append(nn.Linear(features, channels * self.height * self.width))
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, check_labels(self, y), self.num_classes)
        images = torch.tanh(self.layers(z))
        return images.view(len(z), self.channels, self.height, self.width)
