"""What scores images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from torch import Tensor, nn

from zoo.contracts.head import Head, HeadFactory, Trunk, as_it_is
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.sizes import ImageSize, height_width, plain_size
from zoo.contracts.update import Update
from zoo.core.errors import ZooError, at_least
from zoo.core.torch_internals import BatchNorm
from zoo.registry import factory


class Discriminator(nn.Module, ABC):
    """A trunk that gives features and a head that scores them.

    A subclass calls `super().__init__`, builds its trunk on `self.in_channels` channels, ends its
    `__init__` with `self.attach_head(features, ...)`, and implements `features`. One that scores
    patches or maps by itself sets `takes_head = False` and implements `outputs` instead.

    Args:
        image_size: side in pixels, or (height, width).
        channels: channels of the images; of all images of a pack where D sees packs.
        num_classes: 0 for none.
        head: makes the head; a name of the registry, a `Head` class, or None for the default.

    Attributes:
        default_head, default_conditional_head: names of the heads taken where none is asked for.
        takes_head: whether a head can be chosen.
        several_scores: it scores an image more than once, (N, K): patches, scales or pixels.
        has_batch_statistics: a score depends on the other images through batch norm, whose
            per-image gradients are meaningless.
        mixes_images: a score depends on the other images of the batch, by batch norm or anything
            else, so that reals and fakes get passes of their own.
        requires_labels: the network makes no sense without classes.
        auxiliary_names, tiny, claims_compile, claims_cuda_graph: as of a `Generator`.
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
                    f"discriminator {type(self).__name__} scores images by itself and takes no "
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
        """The name of the head taken where none is asked for."""
        return cls.default_conditional_head if num_classes else cls.default_head

    def attach_head(
        self,
        features: int,
        wrap: Callable[[nn.Module], nn.Module] = as_it_is,
        bias: bool = True,
    ) -> None:
        """Build `self.head` for feature vectors of width `features`; call it last in `__init__`."""
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
        """All that D says of images (N, C, H, W) in [-1, 1] under labels (N,)."""
        if type(self).forward is not Discriminator.forward:  # a plugin that scores by itself
            scores = self(x, y)
            return DiscriminatorOutput(
                scores, scores.flatten(1) if scores.dim() > 1 else scores[:, None], {}
            )
        return self._of_head(x, y)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Score images (N, C, H, W) in [-1, 1] under labels (N,): raw logits (N,) or (N, ...)."""
        if type(self).outputs is Discriminator.outputs:
            return self._of_head(x, y).scores
        return self.outputs(x, y).scores

    def _of_head(self, x: Tensor, y: Tensor | None) -> DiscriminatorOutput:
        return self.head.outputs(self.features(self.head.prepare(x, y)), y)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Further losses by the name of their metric, scalars: the head's unless overridden."""
        return self.head.auxiliary(update) if self.takes_head else {}

    def stages(self) -> list[nn.Module]:
        """The trunk's layers from the image on, for freezing the first of them in fine-tuning."""
        found: list[nn.Module] = []
        for name, child in self.named_children():
            if name != "head":
                found += child if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
        return [s for s in found if any(True for _ in s.parameters())]
