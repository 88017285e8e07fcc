"""What a generator is: latents and labels to images.

Shapes: N images in a batch, C channels, H = W = `image_size`. Images are float in [-1, 1],
labels int64 of shape (N,), scores raw logits of shape (N,).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.core.errors import at_least


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
