"""The records of what the networks gave."""

# Annotations are types here, not words (no `from __future__ import annotations`): the pages of the
# API look for the words of a NamedTuple where `tuple` is defined.

from typing import Literal, NamedTuple, Self

from torch import Tensor

Side = Literal["discriminator", "generator"]


class GeneratorOutput(NamedTuple):
    """What one pass of a generator made.

    Attributes:
        images: (N, C, H, W) float in [-1, 1].
        z: the latents (N, latent_dim).
        w: what `map` gave: (N, W), or (N, layers, W) for one style a layer; `z` itself where the
            generator has no mapping.
        labels: (N,) int64, or None.
    """

    images: Tensor
    z: Tensor
    w: Tensor
    labels: Tensor | None

    def detach(self) -> Self:
        """The same without a graph."""
        return self._replace(images=self.images.detach(), z=self.z.detach(), w=self.w.detach())


class DiscriminatorOutput(NamedTuple):
    """What D said of a batch.

    Attributes:
        scores: raw logits (M,), or (M, ...) for patches, scales and maps; M = N images, or N / m
            where D sees packs of m.
        features: of the trunk, (M, F).
        extra: what heads read besides (class logits, embeddings, codes), first dimension M.
    """

    scores: Tensor
    features: Tensor
    extra: dict[str, Tensor]
