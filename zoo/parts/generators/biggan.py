"""The BigGAN generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.core.errors import ZooError
from zoo.layers.biggan import GeneratorBody, generator_widths
from zoo.layers.init import initialise
from zoo.layers.shapes import check_labels, common_halvings, one_hot
from zoo.registry import at_least, generator


@generator("biggan")
class BigGANGenerator(Generator):
    """Residual blocks with a chunk of the latent each, a shared label embedding, self-attention.

    The latent is cut into one chunk more than there are blocks. The first enters the first layer;
    block i has batch norms with gain 1 + W_g c and bias W_b c, where c is the label's embedding,
    shared by all blocks and without spectral norm, followed by chunk i. All other weights have
    spectral norm; the last batch norm is plain. Without classes the chunks alone are the condition.

    Paper: Brock et al. (2019), arXiv:1809.11096.

    The defaults at 32 pixels with a latent of 80 are StudioGAN's CIFAR-10 network, with its epsilon
    of batch norm, 1e-4. Those of the authors' CIFAR script, which cuts no latent and gives each
    batch norm its own label table: `base_channels=64 hierarchical=false shared_dim=0 attention=0
    init=normal`. Widths are 4 `base_channels` up to 32 pixels, else `base_channels` before the
    image and up to 16 times that.

    Args:
        image_size: sides that are multiples of 4 from 8 up, in pixels; may be oblong.
        channels: channels of the image.
        latent_dim: length of the latent; 80, 100, 120 and 119 in the papers' networks at 32, 64,
            128 and 256 pixels.
        num_classes: 0 for none.
        base_channels: the unit of the widths.
        plan: widths with four doublings (64 pixels), where the public networks differ: 16, 8, 4, 2,
            1 times `base_channels` (`studiogan`) or 16, 16, 8, 4, 2 times (`ajbrock`).
        hierarchical: cut the latent into chunks; else all of it enters the first layer.
        shared_dim: length of the label embedding; 0 conditions on the one-hot label.
        attention: side (the shorter one) of the map that self-attention follows, 0 for none;
            `auto` is half the image, at most 64.
        init: of all weights; `orthogonal` in the paper.
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
            nn.init.orthogonal_(self.embedding.weight)
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
        given: list[list[Tensor]] = [[c] for c in chunks] or [[] for _ in self.body.blocks]
        if self.num_classes:
            y = check_labels(self, y)
            label = one_hot(y, self.num_classes) if self.embedding is None else self.embedding(y)
            given = [[label.to(z.dtype), *parts] for parts in given]
        return self.body(first, [torch.cat(parts, 1) if parts else None for parts in given])


def _check_latent(image_size: ImageSize, latent_dim: int, chunks: int) -> None:
    if latent_dim % chunks:
        below = latent_dim // chunks * chunks
        nearest = f"{below} or {below + chunks}" if below else f"{chunks}"
        raise ZooError(
            f"generator biggan at image_size={image_size} cuts its latent into {chunks} chunks of "
            f"one length: latent_dim={latent_dim} is not possible; the nearest is {nearest}."
        )
