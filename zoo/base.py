"""Base classes of the interchangeable parts: what a plugin inherits from.

Shapes: N images in a batch, C channels, H = W = `image_size`. Images are float in [-1, 1],
labels int64 of shape (N,), scores raw logits of shape (N,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.errors import ZooError, at_least

if TYPE_CHECKING:
    from zoo.step import Update

HeadFactory = Callable[..., "Head"]


def check_image_size(part: str, image_size: int, multiple: int = 4, minimum: int = 8) -> None:
    """Refuse an `image_size` that `part` cannot take, naming the nearest sizes that it can.

    Raises:
        ZooError: `image_size` is below `minimum` or no multiple of `multiple`.
    """
    if image_size >= minimum and image_size % multiple == 0:
        return
    below = max(minimum, image_size // multiple * multiple)
    nearest = sorted({below, max(minimum, below + multiple)} if image_size > minimum else {minimum})
    raise ZooError(
        f"{part} cannot work at image_size={image_size}: it takes multiples of {multiple} from "
        f"{minimum} up; the nearest is {' or '.join(map(str, nearest))}."
    )


class Generator(nn.Module, ABC):
    """A network from latents (and labels) to images.

    A subclass takes `image_size`, `channels`, `latent_dim` and `num_classes` as its first
    arguments, calls `super().__init__` with them, and implements `forward`.

    Attributes:
        requires_labels: the network makes no sense without classes.
        claims_compile: `torch.compile` is known to work on it (the contract tests try it).
        claims_cuda_graph: its work on tensors is the same on every call, whatever Python does
            beside it; False where it counts or decides in Python, which a captured step would not
            run again (the contract tests try it).
    """

    requires_labels: ClassVar[bool] = False
    claims_compile: ClassVar[bool] = True
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(
        self, image_size: int, channels: int, latent_dim: int, num_classes: int = 0
    ) -> None:
        super().__init__()
        at_least(1, f"{type(self).__name__}: ", latent_dim=latent_dim)
        self.image_size = image_size
        self.channels = channels
        self.latent_dim = latent_dim
        self.num_classes = num_classes

    @abstractmethod
    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` latents (n, latent_dim) from the prior, N(0, I) unless a subclass differs."""
        reference = next(self.parameters())
        device = generator.device if generator is not None else reference.device
        z = torch.randn(n, self.latent_dim, generator=generator, device=device)
        return z.to(reference.device)


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


class Loss(ABC):
    """An adversarial loss on logits: per-sample values, which the step averages.

    Attributes:
        needs_real: the generator's side needs the scores of real images (relativistic losses).
        claims_cuda_graph: as of a `Generator`.
    """

    needs_real: ClassVar[bool] = False
    claims_cuda_graph: ClassVar[bool] = True

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of D per pair, (N,), from the scores (N,) of real and of fake images."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """Loss of G per image, (N,), from the scores (N,) of fakes (and reals if `needs_real`)."""

    def regularizers(self) -> list[Regularizer]:
        """Penalties that belong to the method, so that naming the loss names the whole method."""
        return []


class Regularizer(nn.Module):
    """A penalty added to one network's loss, or a change to its weights after its update.

    A subclass overrides `forward` (a penalty), `after_update` (weight clipping and the like), or
    both. `every=k` makes it lazy: it acts on every k-th update with k times its weight, so that
    its mean strength stays the same (Karras et al., 2020, arXiv:1912.04958).

    Attributes:
        update: the update it acts on.
        per_sample: it differentiates each image's score on its own, so that the network must not
            mix images (no batch norm), and it needs a double backward pass.
        differentiates: images of the step's own passes ("real", "fake") whose gradient it takes, so
            that the step makes them differentiable and nothing is computed twice.
        claims_cuda_graph: as of a `Generator`; numbers that change in training are then tensors,
            changed in place (as LeCam's averages), not attributes of Python.
    """

    update: ClassVar[Literal["discriminator", "generator"]] = "discriminator"
    per_sample: ClassVar[bool] = False
    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ()
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        at_least(1, f"{type(self).__name__}: ", every=every)
        self.every = every

    @property
    def gives_penalty(self) -> bool:
        """Whether it adds to the loss, rather than only changing weights after the update."""
        return type(self).forward is not Regularizer.forward

    def forward(self, update: Update) -> Tensor | None:
        """The penalty as a scalar, from what the step already computed; None for none."""
        return None

    def after_update(self, network: nn.Module) -> None:
        """Called without gradients after the optimizer's step on `network`."""


class Augmentation(nn.Module, ABC):
    """A differentiable change of images, applied to reals and fakes in both updates.

    Attributes:
        claims_cuda_graph: as of a `Generator`.
    """

    claims_cuda_graph: ClassVar[bool] = True

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to images of the same shape; randoms are drawn per image."""
