"""What a head is: a trunk's features to scores.

Shapes: N images in a batch, C channels, H = W = `image_size`. Images are float in [-1, 1],
labels int64 of shape (N,), scores raw logits of shape (N,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from zoo.core.errors import ZooError

HeadFactory = Callable[..., "Head"]


class Head(nn.Module, ABC):
    """Scores a trunk's features; where it wants labels at the input, it also prepares the image.

    Built by the discriminator with `features` (width of the feature vector), `num_classes`,
    `image_size`, `wrap` (applied to every weight layer: spectral norm in SN trunks, else nothing)
    and `bias`.

    Attributes:
        input_channels: channels that `prepare` adds to the image.
        requires_labels: the head makes no sense without classes.
        claims_cuda_graph: as of a `Generator`.
    """

    input_channels: ClassVar[int] = 0
    requires_labels: ClassVar[bool] = False
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(
        self,
        features: int,
        num_classes: int,
        image_size: int,
        wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        if self.requires_labels and num_classes < 1:
            raise ZooError(
                f"head {type(self).__name__} needs labels, but num_classes is {num_classes}: "
                "use a data set with classes and model.conditional=true, or head=unconditional."
            )

    def prepare(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Give the trunk its input: (N, C, H, W) to (N, C + input_channels, H, W)."""
        return x

    @abstractmethod
    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """Score features (N, F) under labels (N,): raw logits of shape (N,)."""
