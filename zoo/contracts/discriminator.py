"""What a discriminator is: images to features, and features to scores by its head.

Shapes: N images in a batch, C channels, H = W = `image_size`. Images are float in [-1, 1],
labels int64 of shape (N,), scores raw logits of shape (N,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from zoo.contracts.head import HeadFactory


class Discriminator(nn.Module, ABC):
    """A trunk that gives features and a head that scores them.

    A subclass calls `super().__init__`, builds its trunk on `self.in_channels` channels, ends its
    `__init__` with `self.attach_head(features, ...)`, and implements `features`.

    Args:
        image_size: H = W in pixels.
        channels: channels of the images.
        num_classes: 0 for none.
        head: makes the head; a name of the registry, a `Head` class, or None for the default.

    Attributes:
        default_head, default_conditional_head: names of the heads taken where none is asked for.
        has_batch_statistics: a score depends on the other images of the batch (batch norm).
        requires_labels: the network makes no sense without classes.
        claims_compile, claims_cuda_graph: as of a `Generator`.
    """

    default_head: ClassVar[str] = "unconditional"
    default_conditional_head: ClassVar[str] = "projection"
    requires_labels: ClassVar[bool] = False
    claims_compile: ClassVar[bool] = True
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
    ) -> None:
        super().__init__()
        self.image_size = image_size
        self.channels = channels
        self.num_classes = num_classes
        if head is None:
            head = self.default_conditional_head if num_classes else self.default_head
        if isinstance(head, str):
            from zoo.registry import factory

            head = factory("head", head)
        self._head_factory = head
        head_class: Any = getattr(head, "func", head)
        self.in_channels = channels + head_class.input_channels

    def attach_head(
        self,
        features: int,
        wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
        bias: bool = True,
    ) -> None:
        """Build `self.head` for feature vectors of width `features`; call it last in `__init__`."""
        self.head = self._head_factory(
            features=features,
            num_classes=self.num_classes,
            image_size=self.image_size,
            wrap=wrap,
            bias=bias,
        )

    @property
    def has_batch_statistics(self) -> bool:
        return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in self.modules())

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Map prepared images (N, in_channels, H, W) to feature vectors (N, F)."""

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Score images (N, C, H, W) in [-1, 1] under labels (N,): raw logits of shape (N,)."""
        return self.head(self.features(self.head.prepare(x, y)), y)
