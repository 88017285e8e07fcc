"""The BigGAN generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.core.errors import ZooError
from zoo.layers.biggan import GeneratorBody, generator_widths
from zoo.layers.init import initialise, orthogonal
from zoo.layers.shapes import check_labels, common_halvings, one_hot
from zoo.registry import at_least, generator


@generator("biggan")
class BigGANGenerator(Generator):
    """BigGAN: residual blocks conditioned on latent chunks and a shared label embedding; attention.

    The latent is split into one chunk more than there are blocks. The first chunk enters the first
    layer. The batch norms of block i have gain 1 + W_g c and bias W_b c, where c is the label's
    embedding, shared by all blocks and without spectral norm, followed by chunk i. All other
    weights have spectral norm; the last batch norm is unconditional. Without classes, c is the
    chunk alone.

    Paper: Brock et al. (2019), arXiv:1809.11096.

    The defaults at 32 pixels with a latent of 80 are StudioGAN's CIFAR-10 network, including its
    batch norm epsilon of 1e-4. The authors' CIFAR script, which does not split the latent and gives
    each batch norm its own label table, corresponds to `base_channels=64 hierarchical=false
    shared_dim=0 attention=0 init=normal`. Up to 32 pixels, all maps have 4 times `base_channels`
    channels; above, `base_channels` before the image and up to 16 times that.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent; 80, 100, 120 and 119 in the papers' networks at 32, 64,
            128 and 256 pixels.
        num_classes: number of classes; 0 for none.
        base_channels: base width, of which all widths are multiples.
        plan: widths at four doublings (64 pixels), where public networks differ: 16, 8, 4, 2, 1
            times `base_channels` (`studiogan`) or 16, 16, 8, 4, 2 times (`ajbrock`).
        hierarchical: whether to split the latent into chunks; otherwise all of it enters the first
            layer.
        shared_dim: length of the shared label embedding; 0 conditions on the one-hot label instead.
        attention: (shorter) side of the map that self-attention is applied to; 0 for none, `auto`
            for half the image's side but at most 64.
        init: initialisation of all weights; `orthogonal` in the paper.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4, "shared_dim": 8}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 96,
        plan: Literal["studiogan", "ajbrock"] = "studiogan",
        hierarchical: bool = True,
        shared_dim: Annotated[int, at_least(0)] = 128,
        attention: Annotated[int, at_least(0)] | Literal["auto"] = "auto",
        init: Literal["orthogonal", "xavier", "normal"] = "orthogonal",
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator biggan", image_size, oblong=True)
        height, width, doublings = common_halvings(self.height, self.width)
        self.chunks = doublings + 1 if hierarchical else 1
        _check_latent(image_size, latent_dim, self.chunks)
        multiples = generator_widths(doublings)
        if plan == "ajbrock" and doublings == 4:
            multiples = (16, 16, 8, 4, 2)
        self.embedding = None
        if num_classes and shared_dim:
            self.embedding = nn.Embedding(num_classes, shared_dim)
            orthogonal(self.embedding.weight)
        chunk = latent_dim // self.chunks
        self.body = GeneratorBody(
            (height, width),
            [m * base_channels for m in multiples],
            first_dim=chunk,
            condition_dim=(shared_dim or num_classes if num_classes else 0)
            + (chunk if hierarchical else 0),
            channels=channels,
            attention=attention,
            part="generator biggan",
        )
        initialise(self, init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        first, *chunks = z.chunk(self.chunks, dim=1)
        conditions: list[list[Tensor]] = [[c] for c in chunks] or [[] for _ in self.body.blocks]
        if self.num_classes:
            y = check_labels(self, y)
            label = one_hot(y, self.num_classes) if self.embedding is None else self.embedding(y)
            conditions = [[label.to(z.dtype), *parts] for parts in conditions]
        return self.body(first, [torch.cat(parts, 1) if parts else None for parts in conditions])


def _check_latent(image_size: ImageSize, latent_dim: int, chunks: int) -> None:
    if latent_dim % chunks:
        below = latent_dim // chunks * chunks
        nearest = f"{below} or {below + chunks}" if below else f"{chunks}"
        raise ZooError(
            f"generator biggan at image_size={image_size} splits its latent into {chunks} chunks "
            f"of equal length: latent_dim={latent_dim} is not possible; the nearest is {nearest}."
        )
