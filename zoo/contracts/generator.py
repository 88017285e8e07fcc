"""The base class of generators: networks that make images."""

from __future__ import annotations

from abc import ABC
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.contracts.latent import Latent
from zoo.contracts.sizes import ImageSize, height_width, plain_size
from zoo.contracts.update import Update
from zoo.core.errors import ZooError, at_least
from zoo.layers.truncated_normal import truncate
from zoo.registry import name_of


class Generator(nn.Module, ABC):
    """A network that maps latents, and optionally class labels, to images.

    A subclass takes `image_size`, `channels`, `latent_dim` and `num_classes` as its first
    arguments, passes them to `super().__init__`, and implements `forward`. A style-based network
    implements `map` (latents to styles) and `synthesize` (styles to images) instead; `forward` is
    then their composition.

    Args:
        image_size: The side length in pixels, or (height, width).
        channels: The number of channels of the images.
        latent_dim: The length of a latent vector.
        num_classes: The number of classes; 0 for an unconditional generator.

    Attributes:
        image_size: The side length of square images, else (height, width); `height` and `width`
            work for both.
        latent: The prior; None for N(0, I). It is assigned by the builder or by a subclass.
        requires_labels: Whether the network only works with class labels.
        bounded: Whether images cannot leave [-1, 1]. Without a final tanh they can, and are clamped
            wherever they are shown, saved or measured.
        tiny: Options of a small instance, which the contract tests build.
        auxiliary_names: The names of all losses that `auxiliary` may return in either update. None
            if they are not known in advance; a misspelled metric to monitor is then noticed only
            once the training runs.
        is_program: Whether this is a fixed program (an exported file) rather than a network with
            trainable weights.
        claims_compile: Whether `torch.compile` works on it, which the contract tests verify.
        claims_cuda_graph: Whether every call does the same work on tensors, so that it can be
            captured in a CUDA graph; the contract tests verify it. It is False for a network that
            counts or branches in Python, since a replayed graph runs no Python.
    """

    requires_labels: ClassVar[bool] = False
    bounded: ClassVar[bool] = True
    tiny: ClassVar[dict[str, Any]] = {}
    auxiliary_names: ClassVar[tuple[str, ...] | None] = None
    is_program: ClassVar[bool] = False
    claims_compile: ClassVar[bool] = True
    claims_cuda_graph: ClassVar[bool] = True

    latent: Latent | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        defined = [name for name in ("map", "synthesize") if name in vars(cls)]
        if defined == ["map"] and cls.synthesize is Generator.synthesize:
            raise TypeError(
                f"{cls.__name__} defines `map` but not `synthesize`: a generator implements either "
                "`forward`, or both `map` and `synthesize`."
            )

    def __init__(
        self,
        image_size: ImageSize,
        channels: Annotated[int, at_least(1)],
        latent_dim: Annotated[int, at_least(1)],
        num_classes: Annotated[int, at_least(0)] = 0,
    ) -> None:
        super().__init__()
        at_least(1, f"generator {name_of(self)}: ", latent_dim=latent_dim)
        self.image_size = plain_size(image_size)
        self.channels = channels
        self.latent_dim = latent_dim
        self.num_classes = num_classes

    @property
    def height(self) -> int:
        return height_width(self.image_size)[0]

    @property
    def width(self) -> int:
        return height_width(self.image_size)[1]

    @property
    def has_mapping(self) -> bool:
        """Whether the generator maps latents to styles before it makes images of them."""
        return type(self).map is not Generator.map

    def map(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N,) to styles; by default the latents themselves.

        Returns:
            Styles (N, W), or (N, layers, W) with one style per layer.
        """
        return z

    def synthesize(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        """Make images (N, C, H, W) from the styles that `map` returned."""
        if type(self).forward is Generator.forward:
            raise NotImplementedError(
                f"{type(self).__name__} implements neither `forward` nor `synthesize`."
            )
        return self(w, y)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.synthesize(self.map(z, y), y)

    def truncate(self, z: Tensor, y: Tensor | None, amount: float) -> Tensor:
        """Map latents to styles that are closer to the mean, for less diverse but better images.

        Args:
            z: Latents (N, latent_dim).
            y: Labels (N,), or None.
            amount: The smaller, the closer to the mean. Without a mapping, the threshold in
                standard deviations, above 0, within which latents are drawn; with one, the factor
                psi in [0, 1] by which the distance to the mean style is multiplied.

        Returns:
            The input of `synthesize`: styles, or latents without a mapping.

        Raises:
            ZooError: The prior of this generator cannot be truncated.
        """
        if self.latent is not None:
            z = self.latent.truncate(z, amount)
        elif type(self).sample_latent is Generator.sample_latent:  # from N(0, I)
            z = truncate(z, amount)
        else:
            raise ZooError(
                f"generator {name_of(self)} draws its latents from a prior of its own, for which "
                "there is no default truncation: override `truncate` as well."
            )
        return self.map(z, y)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Return additional scalar losses of this network by metric name; none by default."""
        return {}

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` latents (n, latent_dim) from the prior, on the network's device.

        Args:
            n: The number of latents.
            generator: The random number generator to draw from; None for the device's default.
        """
        device = next(self.parameters()).device
        origin = generator.device if generator is not None else device
        if self.latent is None:
            return torch.randn(n, self.latent_dim, generator=generator, device=origin).to(device)
        return self.latent.sample(n, generator, origin).to(device)
