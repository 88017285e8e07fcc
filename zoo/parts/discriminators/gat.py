"""The discriminator of GAT."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.transformer import (
    RMSNorm,
    RotaryAttention,
    SwiGLU,
    check_heads,
    rotations,
    sin_cos_positions,
    xavier,
)
from zoo.registry import at_least, discriminator

LEVELS = 4
STRENGTHS = tuple(1 - 0.125 ** (1 - level / 3) + 0.01 for level in range(LEVELS))
"""Noise level t of each copy: 0.885, 0.76, 0.51, 0.01."""


class NestedNoise(nn.Module):
    """Make four copies of decreasing noise: (1 - t) x + t e, with nested noises e.

    Each copy contains the noise of the next, cleaner one plus further noise, such that its variance
    is exactly t^2. In eval mode no noise is added, and a copy is (1 - t) x.
    """

    keep: Tensor
    added: Tensor

    def __init__(self) -> None:
        super().__init__()
        squares = [t * t for t in (*STRENGTHS, 0.0)]
        added = torch.tensor([(more - less) ** 0.5 for more, less in pairwise(squares)])
        keep = 1 - torch.tensor(STRENGTHS)
        self.register_buffer("keep", keep, persistent=False)
        self.register_buffer("added", added, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the noisy copies of images (N, 4, C, H, W), the noisiest first."""
        scaled = images * self.keep.to(images.dtype).view(-1, 1, 1, 1)
        if not self.training:
            return scaled
        noise = torch.randn_like(images, memory_format=torch.contiguous_format)
        noise = noise * self.added.to(images.dtype).view(-1, 1, 1, 1)
        return scaled + noise.flip(1).cumsum(1).flip(1)


class Block(nn.Module):
    """x + a * attention(norm(x)), then x + b * swiglu(norm(x)); learned a and b start at 0.1."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = RMSNorm(width), RMSNorm(width)
        self.attention = RotaryAttention(width, heads)
        self.mlp = SwiGLU(width)
        self.attention_scale = nn.Parameter(torch.full((width,), 0.1))
        self.mlp_scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        x = torch.addcmul(x, self.attention_scale, self.attention(self.attention_norm(x), turns))
        return torch.addcmul(x, self.mlp_scale, self.mlp(self.mlp_norm(x)))


@discriminator("gat")
class GATDiscriminator(Discriminator):
    """GAT: a transformer on patches of four noisy copies of the image, with a class token.

    The copies are stacked on the channels, the first almost pure noise, the last almost clean; in
    eval mode no noise is added. With labels, the score is the inner product of the class token's
    features and a label embedding (head `gat`).

    Paper: Hyun et al. (2025), arXiv:2509.24935.

    Deviation: the four copies of a fake show the same image, as for reals, where the authors take
    G's four outputs (`GATGenerator.levels`). D therefore works with any generator, and accepts
    those outputs too, as images of 4 C channels. The optional distillation of DINOv2 is left out.

    Args:
        image_size: side in pixels, or (height, width); multiples of `patch`.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: the head that scores the features; None for the default.
        width: width of the tokens.
        depth: number of blocks.
        heads: number of attention heads.
        patch: side of a patch, which one token represents, in pixels.
        embedding: width of the features that the head receives.
    """

    constants: ClassVar[tuple[str, ...]] = ("positions",)
    default_conditional_head = "gat"
    tiny: ClassVar[dict[str, Any]] = {
        "width": 32, "depth": 2, "heads": 2, "patch": 4, "embedding": 16,
    }  # fmt: skip

    turns: Tensor

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        width: Annotated[int, at_least(1)] = 384,
        depth: Annotated[int, at_least(1)] = 12,
        heads: Annotated[int, at_least(1)] = 6,
        patch: Annotated[int, at_least(1)] = 2,
        embedding: Annotated[int, at_least(1)] = 2048,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        part = "discriminator gat"
        check_heads(part, width, heads)
        check_image_size(part, image_size, multiple=patch, minimum=patch, oblong=True)
        grid = (self.height // patch, self.width // patch)
        self.noise = NestedNoise()
        self.tokens = nn.Conv2d(LEVELS * self.in_channels, width, patch, stride=patch)
        nn.init.xavier_uniform_(self.tokens.weight.view(width, -1))
        nn.init.zeros_(self.tokens.bias)  # type: ignore[arg-type]
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        nn.init.normal_(self.class_token, 0.0, 0.02)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = RMSNorm(width)
        self.out = xavier(nn.Linear(width, embedding))
        positions = sin_cos_positions(*grid, width)
        turns = rotations(*grid, width // heads, extra=1)
        # A frozen parameter, as in the authors' code, so that parameter counts match.
        self.positions = nn.Parameter(positions, requires_grad=False)
        self.register_buffer("turns", turns, persistent=False)
        self.attach_head(embedding)

    def features(self, x: Tensor) -> Tensor:
        if x.shape[1] == self.in_channels:
            levels = x.unsqueeze(1).expand(-1, LEVELS, -1, -1, -1)
        else:  # the four outputs of a generator
            levels = x.unflatten(1, (LEVELS, self.in_channels))
        tokens = self.tokens(self.noise(levels).flatten(1, 2)).flatten(2).transpose(1, 2)
        h = torch.cat([self.class_token.expand(len(x), -1, -1), tokens + self.positions], dim=1)
        for block in self.blocks:
            h = block(h, self.turns)
        return self.out(self.norm(h[:, 0]))
