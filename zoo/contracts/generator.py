"""What makes images."""

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


class Generator(nn.Module, ABC):
    """A network from latents (and labels) to images.

    A subclass takes `image_size`, `channels`, `latent_dim` and `num_classes` as its first
    arguments, calls `super().__init__` with them, and implements `forward`; or, where styles lie
    between latents and images, `map` and `synthesize`, of which `forward` is made.

    Attributes:
        image_size: the side, or (height, width) of oblong images; `height` and `width` are always
            there.
        latent: the prior; N(0, I) unless the builder or a subclass puts another in its place.
        requires_labels: the network makes no sense without classes.
        bounded: images cannot leave [-1, 1]; without a last tanh they can, and are clamped wherever
            they are shown, saved or measured.
        tiny: options of a small member, which the contract tests build.
        auxiliary_names: of the losses that `auxiliary` may give, on either side; None where they
            are not known before, and then a figure that nothing measures is told late.
        is_program: a fixed program (an exported file) instead of a network with weights to change.
        claims_compile: `torch.compile` is known to work on it (the contract tests try it).
        claims_cuda_graph: its work on tensors is the same on every call, whatever Python does
            beside it; False where it counts or decides in Python, which a captured step would not
            run again (the contract tests try it).
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
        own = [name for name in ("forward", "map", "synthesize") if name in vars(cls)]
        if "map" in own and "synthesize" not in own and cls.synthesize is Generator.synthesize:
            raise TypeError(
                f"{cls.__name__} has `map` and no `synthesize`: a generator implements either "
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
        at_least(1, f"{type(self).__name__}: ", latent_dim=latent_dim)
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
        """Whether styles lie between latents and images."""
        return type(self).map is not Generator.map

    def map(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Styles of latents (N, latent_dim) and labels (N,): the latents themselves by default."""
        return z

    def synthesize(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) of what `map` gave."""
        if type(self).forward is Generator.forward:
            raise NotImplementedError(
                f"{type(self).__name__} implements neither `forward` nor `synthesize`."
            )
        return self(w, y)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Map latents (N, latent_dim) and labels (N,) to images (N, C, H, W) in [-1, 1]."""
        return self.synthesize(self.map(z, y), y)

    def truncate(self, z: Tensor, y: Tensor | None, amount: float) -> Tensor:
        """Styles (or latents) of `z` drawn nearer to the mean; smaller amounts are nearer.

        Args:
            amount: without a mapping a threshold in standard deviations, above 0; with one the
                factor psi of the distance to the mean style, from 0 to 1.

        Returns:
            What `synthesize` takes.
        """
        if self.latent is not None:
            z = self.latent.truncate(z, amount)
        elif type(self).sample_latent is Generator.sample_latent:  # from N(0, I)
            z = truncate(z, amount)
        else:
            raise ZooError(
                f"{type(self).__name__} draws its latents from a prior of its own, which cannot be "
                "truncated here: override `truncate`."
            )
        return self.map(z, y)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Further losses of this network by the name of their metric, scalars; none by default."""
        return {}

    def sample_latent(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` latents (n, latent_dim) from the prior, on the network's device."""
        device = next(self.parameters()).device
        origin = generator.device if generator is not None else device
        if self.latent is None:
            return torch.randn(n, self.latent_dim, generator=generator, device=origin).to(device)
        return self.latent.sample(n, generator, origin).to(device)
