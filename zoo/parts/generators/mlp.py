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
"""Largest width of a layer: the weights between two such layers already take terabytes."""


@generator("mlp")
class MLPGenerator(Generator):
    """MLP: fully connected layers of doubling width, with batch norm from the second layer on.

    Labels are appended to the latent as one-hot vectors. Widths, norm and leaky ReLU follow the
    widespread PyTorch version; the paper does not specify its MLPs.

    Paper: Goodfellow et al. (2014), arXiv:1406.2661.

    Args:
        image_size: any side in pixels, or (height, width).
        channels: number of image channels.
        latent_dim: length of the latent.
        num_classes: number of classes; 0 for none.
        width: width of the first hidden layer.
        depth: number of hidden layers, each twice as wide as the previous one.
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
                f"{fits} or less, because every layer is twice as wide as the previous one."
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
