"""The base class of discriminator heads: modules that score the features of a trunk."""

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
from zoo.registry import name_of

HeadFactory = Callable[..., "Head"]


def as_it_is(layer: nn.Module) -> nn.Module:
    """Return the layer unchanged: the default `wrap` of a trunk."""
    return layer


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """The description of a trunk from which its head is built.

    Attributes:
        features: The width F of the feature vectors.
        num_classes: The number of classes; 0 for none.
        image_size: The side length in pixels, or (height, width).
        wrap: Applied to every weight layer of the head: spectral norm if the trunk uses it,
            otherwise the identity.
        bias: Whether the layers of the head before the score have a bias.
        latent: The prior of the generator's latents; None if it is not known.
    """

    features: int
    num_classes: int
    image_size: ImageSize
    wrap: Callable[[nn.Module], nn.Module] = as_it_is
    bias: bool = True
    latent: Latent | None = None


class Head(nn.Module, ABC):
    """Scores the features of a trunk, and may add label channels to the trunk's input.

    A subclass takes `trunk` as its first argument and passes it to `super().__init__`.

    Attributes:
        input_channels: The number of channels that `prepare` adds to the images.
        requires_labels: Whether the head only works with class labels.
        replaces_loss: Whether `auxiliary` returns the adversarial terms as well, so that the step
            does not apply the loss to the scores.
        needs_real: Whether `auxiliary` needs D's output for real images in G's update too.
        reads_each_image: Whether `auxiliary` compares D's output for each image with the latent of
            that image, so that D must not see packs of several images.
        auxiliary_names, tiny, claims_cuda_graph: See `Generator`.
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
                f"head {name_of(self)} needs labels, but num_classes is {trunk.num_classes}: "
                "use a data set with classes and model.conditional=true, or a head without labels"
            )

    def prepare(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return the trunk's input: (N, C, H, W) to (N, C + input_channels, H, W)."""
        return x

    @abstractmethod
    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """Score features (N, F) given labels (N,); return logits (N,)."""

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """Return the scores and whatever else the head computes from the features.

        Override this if `auxiliary` needs extra outputs, such as class logits.
        """
        return DiscriminatorOutput(self(features, y), features, {})

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Return additional scalar losses for the update's network, by metric name.

        This is called in both updates. In D's update, both outputs carry a graph to D's parameters.
        In G's update, D is frozen and `update.fake_output` carries the graph to G's parameters.
        """
        return {}
