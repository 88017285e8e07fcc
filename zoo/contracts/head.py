"""What scores a trunk's features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from zoo.contracts.latent import Latent
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.sizes import ImageSize
from zoo.contracts.update import Update
from zoo.core.errors import ZooError

HeadFactory = Callable[..., "Head"]


def as_it_is(layer: nn.Module) -> nn.Module:
    """The layer itself: what stands in the place of a wrapper where there is none."""
    return layer


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """What a head is told of the trunk that it stands on.

    Attributes:
        features: width F of the feature vector.
        num_classes: 0 for none.
        image_size: side in pixels, or (height, width).
        wrap: applied to every weight layer of the head: spectral norm in SN trunks, else nothing.
        bias: whether layers before the score carry a bias.
        latent: the prior that the generator's latents come from; None where nobody told it.
    """

    features: int
    num_classes: int
    image_size: ImageSize
    wrap: Callable[[nn.Module], nn.Module] = as_it_is
    bias: bool = True
    latent: Latent | None = None


class Head(nn.Module, ABC):
    """Scores a trunk's features; where it wants labels at the input, it also prepares the image.

    A subclass takes `trunk` as its first argument and hands it to `super().__init__`.

    Attributes:
        input_channels: channels that `prepare` adds to the image.
        requires_labels: the head makes no sense without classes.
        replaces_loss: its `auxiliary` holds the adversarial terms too, so that the step leaves the
            loss on scores out.
        needs_real: its `auxiliary` wants what D says of real images in G's update as well.
        reads_each_image: its `auxiliary` compares what D says of each image with what it was made
            of, so that D must not see several images as one.
        auxiliary_names, tiny, claims_cuda_graph: as of a `Generator`.
    """

    input_channels: ClassVar[int] = 0
    requires_labels: ClassVar[bool] = False
    replaces_loss: ClassVar[bool] = False
    needs_real: ClassVar[bool] = False
    reads_each_image: bool = False
    auxiliary_names: ClassVar[tuple[str, ...] | None] = None
    tiny: ClassVar[dict[str, Any]] = {}
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.num_classes = trunk.num_classes
        if self.requires_labels and trunk.num_classes < 1:
            raise ZooError(
                f"head {type(self).__name__} needs labels, but num_classes is {trunk.num_classes}: "
                "use a data set with classes and model.conditional=true, or a head that "
                "takes none"
            )

    def prepare(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Give the trunk its input: (N, C, H, W) to (N, C + input_channels, H, W)."""
        return x

    @abstractmethod
    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """Score features (N, F) under labels (N,): raw logits (N,)."""

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """The scores with whatever else the head reads from the features, for `auxiliary`."""
        return DiscriminatorOutput(self(features, y), features, {})

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Further losses of the update's side by the name of their metric, scalars.

        Called in both updates. In D's, both outputs carry a graph to D; in G's, D is frozen and
        `update.fake_output` carries the graph to G.
        """
        return {}
