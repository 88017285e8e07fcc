"""The base class of feature networks that are timm models."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.folding import without_batch_norms
from zoo.metrics.features.base import Features, as_rgb


class Backbone(Features):
    """A timm model whose input images are resized bicubically and normalised as in its training."""

    network: Any
    mean: Tensor
    std: Tensor

    def adopt(self, network: nn.Module, resolution: int, mean: Any, std: Any) -> None:
        """Use a timm model with the resolution, mean and deviation of its training images."""
        images = torch.zeros(1, 3, resolution, resolution)
        self.network = without_batch_norms(network.eval(), images)
        self.classes = int(getattr(network, "num_classes", 0))
        self.resolution = resolution
        self.resizer = f"bicubic antialiased to {resolution}"
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)
        self.freeze()

    def prepared(self, images: Tensor) -> Tensor:
        """Convert uint8 images to the network's input."""
        size = (self.resolution, self.resolution)
        x = F.interpolate(as_rgb(images).float(), size=size, mode="bicubic", antialias=True)
        return (x.clamp(0, 255) - self.mean) / self.std

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        maps = self.network.forward_features(self.prepared(images))
        vectors = self.network.forward_head(maps, pre_logits=True)
        return vectors, self.network.forward_head(maps) if self.classes else None
