"""The outputs of generators and discriminators."""

# No `from __future__ import annotations` here: the API documentation would look up the annotations
# of a NamedTuple, which would then be strings, in the module where `tuple` is defined.

from typing import Literal, NamedTuple, Self

from torch import Tensor

Side = Literal["discriminator", "generator"]


class GeneratorOutput(NamedTuple):
    """The output of one forward pass of a generator.

    Attributes:
        images: Images (N, C, H, W), float in [-1, 1].
        z: The latents (N, latent_dim).
        w: The styles returned by `map`: (N, W), or (N, layers, W) with one style per layer. For a
            generator without a mapping this is `z` itself.
        labels: Class labels (N,), int64, or None.
    """

    images: Tensor
    z: Tensor
    w: Tensor
    labels: Tensor | None

    def detach(self) -> Self:
        """Return the same output, detached from the autograd graph."""
        return self._replace(images=self.images.detach(), z=self.z.detach(), w=self.w.detach())


class DiscriminatorOutput(NamedTuple):
    """The output of a discriminator for a batch of N images.

    Attributes:
        scores: Logits (M,), or (M, ...) with several scores per image (patches, scales, pixels).
            M is N, or N / m if D sees packs of m images.
        features: The trunk's features (M, F).
        extra: Further outputs of the head (class logits, embeddings, codes) by name, each with
            first dimension M.
    """

    scores: Tensor
    features: Tensor
    extra: dict[str, Tensor]
