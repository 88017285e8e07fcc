"""The networks of the card of GAT (Hyun et al., 2025, arXiv:2509.24935) in plain PyTorch.

They are written from the paper's formulas, without labels; attention consists of two matrix
products and a softmax.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 4


def rms(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


class RMSNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return rms(x) * self.weight


def angles(side: int, features: int) -> Tensor:
    """Return angles (side * side, features / 2): first those of the row, then of the column."""
    quarter = features // 4
    frequencies = 10_000.0 ** (-torch.arange(quarter) / quarter)
    place = torch.arange(side * side)
    rows, columns = place // side, place % side
    return torch.cat([rows[:, None] * frequencies, columns[:, None] * frequencies], dim=1)


def positions(side: int, width: int) -> Tensor:
    rows, columns = angles(side, width).chunk(2, dim=1)
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], dim=1)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query_norm, self.key_norm = RMSNorm(width // heads), RMSNorm(width // heads)

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        n, tokens, width = x.shape
        query, key, value = (
            part.view(n, tokens, self.heads, -1).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=2)
        )
        query, key = rotated(self.query_norm(query), turns), rotated(self.key_norm(key), turns)
        weights = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(query.shape[3]), dim=3)
        return self.out((weights @ value).transpose(1, 2).reshape(n, tokens, width))


def rotated(x: Tensor, turns: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=3)
    cosine, sine = turns.cos(), turns.sin()
    return torch.cat([a * cosine - b * sine, b * cosine + a * sine], dim=3)


class SwiGLU(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 8 * width // 3
        self.wide, self.out = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.wide(x).chunk(2, dim=2)
        return self.out(F.silu(gate) * value)


class ScaledLinear(nn.Linear):
    """A linear layer that learns at a hundredth of the learning rate."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * 0.01, self.bias * 0.01)


class GeneratorBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(width, heads), SwiGLU(width)
        self.modulation = nn.Linear(width, 4 * width)

    def forward(self, x: Tensor, style: Tensor, turns: Tensor) -> Tensor:
        scale_a, gate_a, scale_m, gate_m = self.modulation(style)[:, None].chunk(4, dim=2)
        x = x + gate_a * self.attention((1 + scale_a) * rms(x), turns)
        return x + gate_m * self.mlp((1 + scale_m) * rms(x))


class Output(nn.Module):
    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.modulation, self.out = nn.Linear(width, width), nn.Linear(width, features)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return self.out((1 + self.modulation(style)[:, None]) * rms(x))


def _xavier(network: nn.Module) -> None:
    """Initialize with the published gains: 0.1 for gates and scales, 100 for slow layers."""
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear):
            slow = isinstance(layer, ScaledLinear)
            gain = 0.1 if name.endswith("modulation") else 100.0 if slow else 1.0
            nn.init.xavier_uniform_(layer.weight, gain)
            nn.init.zeros_(layer.bias)


class GATGenerator(nn.Module):
    def __init__(
        self, channels: int, latent_dim: int, width: int, depth: int, heads: int, patch: int
    ) -> None:
        super().__init__()
        self.channels, self.patch, self.side = channels, patch, 32 // patch
        self.mapping = nn.Sequential(
            ScaledLinear(latent_dim, width), nn.SiLU(), ScaledLinear(width, width)
        )
        self.blocks = nn.ModuleList(GeneratorBlock(width, heads) for _ in range(depth))
        self.outputs = nn.ModuleList(Output(width, channels * patch**2) for _ in range(LEVELS))
        self.positions = nn.Parameter(positions(self.side, width), requires_grad=False)
        # Part of the published network, which multiplies its output by 0.
        self.patch_embedding = nn.Conv2d(channels, width, patch, stride=patch).requires_grad_(False)
        self.register_buffer("turns", angles(self.side, width // heads), persistent=False)
        self.register_buffer("style_mean", torch.zeros(1, width))
        _xavier(self)

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt())
        if self.training:
            self.style_mean.lerp_(w.detach().mean(0, keepdim=True), 0.002)
        style, x = F.silu(w), self.positions.expand(len(z), -1, -1)
        total = torch.zeros(())
        for i, block in enumerate(self.blocks, 1):
            x = block(x, style, self.turns)
            quarter = len(self.blocks) // LEVELS
            if i % quarter == 0:
                total = total + self.outputs[i // quarter - 1](x, style)
        patches = total.view(-1, self.side, self.side, self.channels, self.patch, self.patch)
        return patches.permute(0, 3, 1, 4, 2, 5).reshape(len(z), self.channels, 32, 32)


class DiscriminatorBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = RMSNorm(width), RMSNorm(width)
        self.attention, self.mlp = Attention(width, heads), SwiGLU(width)
        self.attention_scale = nn.Parameter(torch.full((width,), 0.1))
        self.mlp_scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor, turns: Tensor) -> Tensor:
        x = x + self.attention_scale * self.attention(self.attention_norm(x), turns)
        return x + self.mlp_scale * self.mlp(self.mlp_norm(x))


class NestedNoise(nn.Module):
    """Return four copies of an image, each less noisy than the one before; no noise in eval."""

    def forward(self, x: Tensor) -> Tensor:
        strengths = [1 - 0.125 ** (1 - level / 3) + 0.01 for level in range(LEVELS)]
        noise, less, levels = torch.zeros_like(x), 0.0, []
        for t in reversed(strengths):
            if self.training:
                noise = noise + math.sqrt(t * t - less * less) * torch.randn_like(x)
            levels.append((1 - t) * x + noise)
            less = t
        return torch.cat(levels[::-1], dim=1)


class GATDiscriminator(nn.Module):
    def __init__(
        self, channels: int, width: int, depth: int, heads: int, patch: int, embedding: int
    ) -> None:
        super().__init__()
        side = 32 // patch
        self.noise = NestedNoise()
        self.class_token = nn.Parameter(torch.empty(1, 1, width).normal_(0.0, 0.02))
        self.tokens = nn.Conv2d(LEVELS * channels, width, patch, stride=patch)
        nn.init.xavier_uniform_(self.tokens.weight.view(width, -1))
        nn.init.zeros_(self.tokens.bias)  # type: ignore[arg-type]
        self.blocks = nn.ModuleList(DiscriminatorBlock(width, heads) for _ in range(depth))
        self.norm, self.out = RMSNorm(width), nn.Linear(width, embedding)
        _xavier(self)
        self.score = nn.Linear(embedding, 1)
        self.positions = nn.Parameter(positions(side, width), requires_grad=False)
        turns = torch.cat([torch.zeros(1, width // heads // 2), angles(side, width // heads)])
        self.register_buffer("turns", turns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.tokens(self.noise(x)).flatten(2).transpose(1, 2) + self.positions
        h = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], dim=1)
        for block in self.blocks:
            h = block(h, self.turns)
        return self.score(self.out(self.norm(h[:, 0]))).view(-1)
