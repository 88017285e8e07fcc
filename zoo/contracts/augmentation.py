"""The base class of augmentations: transforms of the images that D sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from torch import Tensor, nn

from zoo.contracts.update import Update


class Augmentation(nn.Module, ABC):
    """A differentiable transform of images, applied to real and generated images in both updates.

    Attributes:
        schedulable: The options that a schedule may change during training. A scheduled option is
            a 0-dim tensor.
        moves: Those schedulable options that the augmentation, as configured, adapts by itself,
            each mapped to the setting that turns this off (`{"p": "adaptive=false"}`). They cannot
            be scheduled at the same time.
        claims_cuda_graph: See `Generator`.
    """

    schedulable: ClassVar[tuple[str, ...]] = ()
    moves: Mapping[str, str] = MappingProxyType({})
    claims_cuda_graph: ClassVar[bool] = True

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Transform images (N, C, H, W), drawing random numbers for each image independently."""

    @property
    def acts(self) -> bool:
        """Whether the augmentation, as configured, can change an image at all.

        An augmentation that cannot is rejected, since it is most likely misconfigured.
        """
        return True

    def reals(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the images that D's update treats as real; by default `real` itself.

        Args:
            real, fake: Images (N, C, H, W) with the same labels, detached from any graph.
        """
        return real

    def observe(self, update: Update) -> None:
        """Observe an update of D, without gradients and without synchronizing with the device."""
