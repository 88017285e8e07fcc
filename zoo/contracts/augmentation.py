"""What an augmentation is: a differentiable change of images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Augmentation(nn.Module, ABC):
    """A differentiable change of images, applied to reals and fakes in both updates.

    Attributes:
        claims_cuda_graph: as of a `Generator`.
    """

    claims_cuda_graph: ClassVar[bool] = True

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to images of the same shape; randoms are drawn per image."""
