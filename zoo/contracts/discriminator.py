"""The base class of discriminators: networks that score images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from zoo.contracts.head import Head, HeadFactory, Trunk, as_it_is
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.sizes import ImageSize, height_width, plain_size
from zoo.contracts.update import Update
from zoo.core.errors import ZooError, at_least
from zoo.core.torch_internals import BatchNorm
from zoo.registry import factory, name_of


class Discriminator(nn.Module, ABC):
    """A discriminator: a trunk that extracts features, and a head that scores them.

    A subclass calls `super().__init__`, builds its trunk for `self.in_channels` input channels,
    ends its `__init__` with `self.attach_head(features, ...)`, and implements `features`. A network
    that computes its scores itself (of patches, scales or pixels) sets `takes_head = False` and
    implements `outputs` instead.

    Args:
        image_size: The side length in pixels, or (height, width).
        channels: The number of input channels. If D sees packs of images, the channels of all
            images of a pack together.
        num_classes: The number of classes; 0 for an unconditional discriminator.
        head: A registered head's name, a `Head` subclass or a factory of one; None for the default.

    Attributes:
        default_head, default_conditional_head: The heads used by default, without and with classes.
        takes_head: Whether the head can be chosen.
        several_scores: Whether each image gets several scores (N, K), of patches, scales or pixels.
        has_batch_statistics: Whether scores depend on the other images of the batch through batch
            norm, which makes per-image gradients meaningless.
        mixes_images: Whether scores depend on the other images of the batch in any way, batch norm
            included; reals and fakes are then scored in separate passes.
        requires_labels: Whether the network only works with class labels.
        auxiliary_names, tiny, claims_compile, claims_cuda_graph: See `Generator`.
    """

    default_head: ClassVar[str] = "unconditional"
    default_conditional_head: ClassVar[str] = "projection"
    takes_head: ClassVar[bool] = True
    several_scores: ClassVar[bool] = False
    auxiliary_names: ClassVar[tuple[str, ...] | None] = None
    tiny: ClassVar[dict[str, Any]] = {}
    requires_labels: ClassVar[bool] = False
    claims_compile: ClassVar[bool] = True
    claims_cuda_graph: ClassVar[bool] = True

    head: Head

    def __init__(
        self,
        image_size: ImageSize,
        channels: Annotated[int, at_least(1)],
        num_classes: Annotated[int, at_least(0)] = 0,
        head: str | HeadFactory | None = None,
    ) -> None:
        super().__init__()
        self.image_size = plain_size(image_size)
        self.channels = channels
        self.num_classes = num_classes
        self.in_channels = channels
        if not self.takes_head:
            if head is not None:
                raise ZooError(
                    f"discriminator {name_of(self)} computes its scores itself and takes no "
                    "head: leave model.head out."
                )
            return
        if head is None:
            head = self.default_head_of(num_classes)
        if isinstance(head, str):
            head = factory("head", head)
        self._head_factory = head
        head_class: Any = getattr(head, "func", head)
        self.in_channels = channels + head_class.input_channels

    @classmethod
    def default_head_of(cls, num_classes: int) -> str:
        """Return the name of the head that is used by default with `num_classes` classes."""
        return cls.default_conditional_head if num_classes else cls.default_head

    def attach_head(
        self,
        features: int,
        wrap: Callable[[nn.Module], nn.Module] = as_it_is,
        bias: bool = True,
    ) -> None:
        """Build `self.head`; call this at the end of `__init__`.

        Args:
            features: The width F of the feature vectors that the trunk returns.
            wrap: Applied to every weight layer of the head, for instance spectral norm.
            bias: Whether the layers of the head before the score have a bias.
        """
        self.head = self._head_factory(
            trunk=Trunk(
                features=features,
                num_classes=self.num_classes,
                image_size=self.image_size,
                wrap=wrap,
                bias=bias,
                latent=getattr(self._head_factory, "latent", None),
            )
        )

    @property
    def height(self) -> int:
        return height_width(self.image_size)[0]

    @property
    def width(self) -> int:
        return height_width(self.image_size)[1]

    @property
    def has_batch_statistics(self) -> bool:
        return any(isinstance(m, BatchNorm) for m in self.modules())

    @property
    def mixes_images(self) -> bool:
        if self.has_batch_statistics:
            return True
        return any(getattr(m, "mixes_images", False) for m in self.modules() if m is not self)

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Map prepared images (N, in_channels, H, W) to feature vectors (N, F)."""

    def outputs(self, x: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """Return scores, features and extra outputs for images (N, C, H, W) and labels (N,).

        Args:
            x: Images in [-1, 1].
            y: Class labels, int64; None without classes.
        """
        if type(self).forward is not Discriminator.forward:  # a plugin that overrides `forward`
            scores = self(x, y)
            return DiscriminatorOutput(
                scores, scores.flatten(1) if scores.dim() > 1 else scores[:, None], {}
            )
        return self._score_features(x, y)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Score images (N, C, H, W) in [-1, 1] given labels (N,): logits (N,) or (N, ...)."""
        if type(self).outputs is Discriminator.outputs:
            return self._score_features(x, y).scores
        return self.outputs(x, y).scores

    def _score_features(self, x: Tensor, y: Tensor | None) -> DiscriminatorOutput:
        return self.head.outputs(self.features(self.head.prepare(x, y)), y)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Return additional scalar losses by metric name; by default those of the head."""
        return self.head.auxiliary(update) if self.takes_head else {}

    def stages(self) -> list[nn.Module]:
        """Return the trunk's layers that have parameters, in order from the image to the features.

        Fine-tuning freezes the first of them (FreezeD). A trunk that is a single module is taken
        apart into its own layers, and so is each list or sequence of layers.
        """
        trunk = _with_parameters(c for name, c in self.named_children() if name != "head")
        while len(trunk) == 1 and (inner := _with_parameters(trunk[0].children())):
            trunk = inner
        stages: list[nn.Module] = []
        for child in trunk:
            stages += child if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
        return _with_parameters(stages)


def _with_parameters(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if any(True for _ in module.parameters())]
