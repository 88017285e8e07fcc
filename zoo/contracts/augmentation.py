"""Changes of the images that D sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from zoo.contracts.update import Update


class Augmentation(nn.Module, ABC):
    """A differentiable change of images, applied to reals and fakes in both updates.

    Attributes:
        schedulable: options that a schedule may change while training; they are then 0-dim tensors.
        moves: of the schedulable options those that it changes by itself, as it is set, each with
            the setting that stops it (`{"p": "adaptive=false"}`): they are not scheduled too.
        claims_cuda_graph: as of a `Generator`.
    """

    schedulable: ClassVar[tuple[str, ...]] = ()
    moves: Mapping[str, str] = MappingProxyType({})
    claims_cuda_graph: ClassVar[bool] = True

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to images of the same shape; randoms are drawn per image."""

    @property
    def acts(self) -> bool:
        """Whether it may change an image, as it is set; one that cannot is refused."""
        return True

    def reals(self, real: Tensor, fake: Tensor) -> Tensor:
        """What D's update takes as real images: `real` unless overridden.

        Args:
            real, fake: images (N, C, H, W) of the same labels, without a graph.
        """
        return real

    def observe(self, update: Update) -> None:
        """Look at an update of D, without gradients and without waiting for the device."""
