"""The base class of style-based generators: mapping, mean style, truncation and style mixing."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.layers.mapping import Mapping, mix_styles


class StyledGenerator(Generator):
    """Base class of generators with a mapping network, whose layers each take a style.

    A subclass implements `synthesize` and sets the attributes below in its `__init__`.

    Attributes:
        mapping: the network from latents to styles.
        styles: number of layers that take a style.
        style_mixing: probability, in training, that all layers from a random one on take the style
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
        """Return images (N, C, H, W) of styles (N, styles, W)."""

    def truncate(
        self, z: Tensor, y: Tensor | None, amount: float, per_class: bool = True
    ) -> Tensor:
        """Return styles moved towards their mean; for the arguments see `StyleMean.truncated`."""
        w = self.mapping.truncated(self.mapping.styles(z, y), y, amount, per_class)
        return w[:, None].expand(-1, self.styles, -1)

    def measure_styles(self, samples: int = 10_000, seed: int = 0) -> None:
        """Recompute the mean styles with the current weights, which the moving averages lag behind.

        Args:
            samples: number of latents to average over.
            seed: seed of the latents.
        """
        random = torch.Generator().manual_seed(seed)
        self.mapping.measure(self.sample_latent(samples, random))
