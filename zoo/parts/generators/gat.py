"""The generator of GAT."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.core.errors import ZooError
from zoo.layers.mapping import StyleMean
from zoo.layers.norm import second_moment_norm
from zoo.layers.shapes import check_labels
from zoo.layers.transformer import (
    RotaryAttention,
    ScaledLinear,
    SwiGLU,
    check_heads,
    rms,
    rotations,
    sin_cos_positions,
    xavier,
)
from zoo.registry import at_least, generator

LEVELS = 4
"""Number of outputs, one after each quarter of the depth."""


class Block(nn.Module):
    """x + a * attention((1 + s) rms(x)), then x + b * swiglu((1 + t) rms(x)).

    s, a, t and b are linear in the style. The gates a and b start near 0, so that a new block is
    close to the identity.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = RotaryAttention(width, heads)
        self.mlp = SwiGLU(width)
        self.modulation = xavier(nn.Linear(width, 4 * width), 0.1)

    def forward(self, x: Tensor, style: Tensor, turns: Tensor) -> Tensor:
        scale_a, gate_a, scale_m, gate_m = self.modulation(style).unsqueeze(1).chunk(4, dim=2)
        x = torch.addcmul(x, gate_a, self.attention((1 + scale_a) * rms(x), turns))
        return torch.addcmul(x, gate_m, self.mlp((1 + scale_m) * rms(x)))


class Output(nn.Module):
    """Linear layer of (1 + s) rms(x), s linear in the style: tokens to patches (N, T, features)."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.modulation = xavier(nn.Linear(width, width), 0.1)
        self.out = xavier(nn.Linear(width, features))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.out((1 + self.modulation(style).unsqueeze(1)) * rms(x))


@generator("gat")
class GATGenerator(StyleMean, Generator):
    """GAT: a transformer on patches, in which the latent acts only through the style of the blocks.

    Tokens start as fixed positional encodings. A two-layer network maps the latent, with a label
    embedding if there are classes, to the style; `truncate` moves styles towards their mean, one
    per class. After each quarter of the depth a linear layer adds its output to the image: `levels`
    returns the four partial sums, the last of which is the image. Images are not bounded by a tanh.

    The defaults are GAT-S. GAT-B is 768 wide and 12 deep with 12 heads; L is 1024, 24, 16; XL is
    1152, 28, 16. As in the authors' code, the fixed positions are parameters without gradient. So
    is a patch embedding that the paper's network contains but multiplies by 0; without it,
    parameter counts would not match the published ones.

    Paper: Hyun et al. (2025), arXiv:2509.24935.

    Args:
        image_size: side in pixels, or (height, width); multiples of `patch`.
        channels: number of image channels.
        latent_dim: length of the latent; 64 in the paper.
        num_classes: number of classes; 0 for none.
        width: width of the tokens.
        depth: number of blocks, a multiple of 4.
        heads: number of attention heads.
        patch: side of a patch, which one token represents, in pixels.
        embedding: width of the label embedding.
    """

    bounded = False
    constants: ClassVar[tuple[str, ...]] = ("positions",)
    decay = 0.998  # as in StyleGAN3
    tiny: ClassVar[dict[str, Any]] = {"width": 32, "depth": 4, "heads": 2, "patch": 4}

    turns: Tensor

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        width: Annotated[int, at_least(1)] = 384,
        depth: Annotated[int, at_least(1)] = 12,
        heads: Annotated[int, at_least(1)] = 6,
        patch: Annotated[int, at_least(1)] = 2,
        embedding: Annotated[int, at_least(1)] = 64,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        part = "generator gat"
        check_heads(part, width, heads)
        check_image_size(part, image_size, multiple=patch, minimum=patch, oblong=True)
        if depth % LEVELS:
            nearest = max(1, round(depth / LEVELS)) * LEVELS
            raise ZooError(
                f"{part}: depth={depth} must be a multiple of {LEVELS}, for an output after each "
                f"quarter: the nearest is {nearest}."
            )
        self.patch = patch
        self.grid = (self.height // patch, self.width // patch)
        inputs = latent_dim
        if num_classes:
            self.embedding = nn.Embedding(num_classes, embedding)
            nn.init.normal_(self.embedding.weight, 0.0, 0.02)
            inputs += embedding
        self.mapping = nn.Sequential(
            ScaledLinear(inputs, width), nn.SiLU(), ScaledLinear(width, width)
        )
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.outputs = nn.ModuleList(Output(width, channels * patch**2) for _ in range(LEVELS))
        positions = sin_cos_positions(*self.grid, width)
        self.positions = nn.Parameter(positions, requires_grad=False)
        self.patch_embedding = nn.Conv2d(channels, width, patch, stride=patch).requires_grad_(False)
        self.register_buffer("turns", rotations(*self.grid, width // heads), persistent=False)
        self.register_buffer("style_mean", torch.zeros(max(1, num_classes), width))

    def map(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        parts = [second_moment_norm(z)]
        if self.num_classes:
            parts.insert(0, second_moment_norm(self.embedding(check_labels(self, y))))
        style = self.mapping(torch.cat(parts, dim=1))
        if self.training:
            self.follow(style.detach(), y)
        return style

    def synthesize(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        return self._image(self._patches(w)[-1])

    def levels(self, w: Tensor) -> Tensor:
        """Return the images (N, 4, C, H, W) after each quarter of the depth, of styles (N, width).

        The authors show D all four of a fake, `levels.flatten(1, 2)`, which discriminator `gat`
        accepts but no other pair of networks needs. The zoo's training step shows D the last image
        only.
        """
        return torch.stack([self._image(patches) for patches in self._patches(w)], dim=1)

    def truncate(
        self, z: Tensor, y: Tensor | None, amount: float, per_class: bool = True
    ) -> Tensor:
        """Return styles moved towards their mean; for the arguments see `StyleMean.truncated`."""
        return self.truncated(self.map(z, y), y, amount, per_class)

    def _patches(self, w: Tensor) -> list[Tensor]:
        style = F.silu(w)
        x = self.positions.expand(len(w), -1, -1)
        quarter = len(self.blocks) // LEVELS
        sums: list[Tensor] = []
        for number, block in enumerate(self.blocks, 1):
            x = block(x, style, self.turns)
            if number % quarter == 0:
                output = self.outputs[len(sums)](x, style)
                sums.append(sums[-1] + output if sums else output)
        return sums

    def _image(self, patches: Tensor) -> Tensor:
        """Assemble patches (N, T, C * patch * patch) into images (N, C, H, W)."""
        x = patches.unflatten(2, (self.channels, self.patch, self.patch)).unflatten(1, self.grid)
        return x.permute(0, 3, 1, 4, 2, 5).reshape(len(x), self.channels, self.height, self.width)
