"""What the generators with styles share: the mapping, its mean, truncation and mixing."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.layers.mapping import Mapping, mix_styles


class StyledGenerator(Generator):
    """A generator of `map` (a mapping network, one style for every layer) and `synthesize`.

    A subclass sets the attributes below in its `__init__`.

    Attributes:
        mapping: from latents to styles.
        styles: how many layers take one.
        style_mixing: probability in training that the layers from a random one on take the style
            of another latent.
    """

    bounded = False

    mapping: Mapping
    styles: int
    style_mixing: float = 0.0

    def map(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        w = self.mapping(z, y)
        if self.training and self.style_mixing:
            other = self.mapping.styles(self.sample_latent(len(z)), y)
            return mix_styles(w, other, self.styles, self.style_mixing)
        return w[:, None].expand(-1, self.styles, -1)

    @abstractmethod
    def synthesize(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) of styles (N, styles, W)."""

    def truncate(
        self, z: Tensor, y: Tensor | None, amount: float, per_class: bool = True
    ) -> Tensor:
        """Styles nearer to their mean; arguments as of `StyleMean.truncated`."""
        w = self.mapping.truncated(self.mapping.styles(z, y), y, amount, per_class)
        return w[:, None].expand(-1, self.styles, -1)

    def measure_styles(self, samples: int = 10_000, seed: int = 0) -> None:
        """Replace the mean styles, which trail training, by those of the present weights."""
        random = torch.Generator().manual_seed(seed)
        self.mapping.measure(self.sample_latent(samples, random))
