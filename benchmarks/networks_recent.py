"""The networks of the cards of R3GAN, BigGAN and StyleGAN2 at 32 pixels in plain PyTorch.

As in `networks.py`, they are written from the papers' formulas, without labels: modulated
convolutions have one kernel per image, filters and upsampling are separate, attention consists of
two matrix products, and spectral norm is torch's own.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


def _filter(x: Tensor, up: bool = False, stride: int = 1, padding: int = 1) -> Tensor:
    """Apply the filter [1, 3, 3, 1] / 8 to both axes; `up` first inserts zeros between pixels."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype)
    taps = taps / taps.sum() * (2 if up else 1)
    kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
    if up:
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=x.shape[1])
    return F.conv2d(x, kernel, stride=stride, padding=padding, groups=x.shape[1])


class Up(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _filter(x, up=True)


class Down(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _filter(x, stride=2)


# R3GAN (Huang et al., 2024, arXiv:2501.05441)


def _scaled(weight: Tensor, gain: float = 1.0) -> None:
    nn.init.normal_(weight, 0.0, gain / math.sqrt(weight[0].numel()))


class R3GANBlock(nn.Module):
    def __init__(self, width: int, groups_of: int, depth: int) -> None:
        super().__init__()
        inner = 2 * width
        self.conv1 = nn.Conv2d(width, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // groups_of)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        for conv in (self.conv1, self.conv2):
            _scaled(conv.weight, math.sqrt(2 / 1.04) * depth**-0.25)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.conv3.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.conv2(F.leaky_relu(self.conv1(x), 0.2)), 0.2)
        return x + self.conv3(h)


class R3GANGenerator(nn.Module):
    def __init__(self, channels: int, latent_dim: int, width: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.randn(width, 4, 4))
        self.project = nn.Linear(latent_dim, width, bias=False)
        _scaled(self.project.weight)
        pairs = [[R3GANBlock(width, 16, 8) for _ in range(2)] for _ in range(4)]
        self.maps = nn.ModuleList(
            nn.Sequential(*([Up()] if i else []), *blocks) for i, blocks in enumerate(pairs)
        )
        self.to_image = nn.Conv2d(width, channels, 1, bias=False)
        _scaled(self.to_image.weight)

    def forward(self, z: Tensor) -> Tensor:
        h = self.basis * self.project(z)[:, :, None, None]
        for stage in self.maps:
            h = stage(h)
        return self.to_image(h)


class R3GANDiscriminator(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.basis = nn.Parameter(torch.empty(width, 4, 4))
        _scaled(self.basis)
        self.from_image = nn.Conv2d(channels, width, 1, bias=False)
        _scaled(self.from_image.weight)
        pairs = [[R3GANBlock(width, 16, 8) for _ in range(2)] for _ in range(4)]
        self.maps = nn.ModuleList(
            nn.Sequential(*blocks, *([Down()] if i < 3 else [])) for i, blocks in enumerate(pairs)
        )
        self.score = nn.Linear(width, 1, bias=False)
        _scaled(self.score.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.from_image(x)
        for stage in self.maps:
            h = stage(h)
        return self.score((h * self.basis).sum((2, 3))).view(-1)


# BigGAN (Brock et al., 2019, arXiv:1809.11096)


def _sn(layer: nn.Module) -> nn.Module:
    nn.init.orthogonal_(layer.weight)  # type: ignore[arg-type]
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return spectral_norm(layer)


class Attention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (
            _sn(nn.Conv2d(a, b, 1, bias=False))
            for a, b in (
                (width, width // 8), (width, width // 8), (width, width // 2), (width // 2, width)
            )
        )  # fmt: skip
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)
        key = F.max_pool2d(self.key(x), 2).flatten(2)
        value = F.max_pool2d(self.value(x), 2).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)
        answers = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gain * self.out(answers)


class ModulatedNorm(nn.Module):
    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, eps=1e-4, affine=False)
        self.gain = _sn(nn.Linear(condition, width, bias=False))
        self.bias = _sn(nn.Linear(condition, width, bias=False))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return (1 + self.gain(c)[:, :, None, None]) * self.norm(x) + self.bias(c)[:, :, None, None]


class BigGANUpBlock(nn.Module):
    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ModulatedNorm(width, condition), ModulatedNorm(width, condition)
        self.conv1 = _sn(nn.Conv2d(width, width, 3, padding=1))
        self.conv2 = _sn(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = _sn(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, c)), scale_factor=2))
        h = self.conv2(F.relu(self.norm2(h, c)))
        return h + self.shortcut(F.interpolate(x, scale_factor=2))


class BigGANGenerator(nn.Module):
    def __init__(self, channels: int, latent_dim: int, base: int) -> None:
        super().__init__()
        chunk, width = latent_dim // 4, 4 * base
        self.project = _sn(nn.Linear(chunk, 16 * width))
        self.blocks = nn.ModuleList(BigGANUpBlock(width, chunk) for _ in range(3))
        self.attention = Attention(width)
        self.norm = nn.BatchNorm2d(width, eps=1e-4)
        self.to_image = _sn(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        first, *chunks = z.chunk(4, dim=1)
        h = self.project(first).view(len(z), 4, 4, -1).permute(0, 3, 1, 2)
        for i, (block, c) in enumerate(zip(self.blocks, chunks, strict=True)):
            h = block(h, c)
            if i == 1:
                h = self.attention(h)
        return torch.tanh(self.to_image(F.relu(self.norm(h))))


class BigGANDownBlock(nn.Module):
    def __init__(self, inputs: int, width: int, pool: bool, first: bool) -> None:
        super().__init__()
        self.pool, self.first = pool, first
        self.conv1 = _sn(nn.Conv2d(inputs, width, 3, padding=1))
        self.conv2 = _sn(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = _sn(nn.Conv2d(inputs, width, 1)) if pool else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.shortcut is None:
            return h + x
        if self.first:
            return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))
        return F.avg_pool2d(h + self.shortcut(x), 2)


class BigGANDiscriminator(nn.Module):
    def __init__(self, channels: int, base: int) -> None:
        super().__init__()
        width = 2 * base
        self.blocks = nn.Sequential(
            BigGANDownBlock(channels, width, pool=True, first=True),
            Attention(width),
            BigGANDownBlock(width, width, pool=True, first=False),
            BigGANDownBlock(width, width, pool=False, first=False),
            BigGANDownBlock(width, width, pool=False, first=False),
        )
        self.score = _sn(nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.score(F.relu(self.blocks(x)).sum((2, 3))).view(-1)


# StyleGAN2 (Karras et al., 2020, arXiv:1912.04958, arXiv:2006.06676)


class Dense(nn.Module):
    """A linear layer with an equalised learning rate, then a leaky ReLU of gain sqrt(2) or none."""

    def __init__(
        self, inputs: int, outputs: int, bias: float = 0.0, lr: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr))
        self.lr, self.activate = lr, activate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.lr / math.sqrt(self.weight.shape[1])
        x = F.linear(x, self.weight * scale, self.bias * self.lr)
        return math.sqrt(2) * F.leaky_relu(x, 0.2) if self.activate else x


class Mapping(nn.Module):
    def __init__(self, latent_dim: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Dense(latent_dim, width, lr=0.01, activate=True),
            Dense(width, width, lr=0.01, activate=True),
        )
        self.register_buffer("style_mean", torch.zeros(1, width))

    def forward(self, z: Tensor) -> Tensor:
        w = self.layers(z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt())
        if self.training:
            self.style_mean.lerp_(w.detach().mean(0, keepdim=True), 0.005)
        return w


class Styled(nn.Module):
    """A modulated convolution with a kernel per image, demodulated, with noise and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, style_dim: int, size: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_map", torch.randn(1, 1, size, size))
        self.affine = Dense(style_dim, inputs, bias=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n = len(x)
        kernels = (
            self.weight / math.sqrt(self.weight[0].numel()) * self.affine(w)[:, None, :, None, None]
        )
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        x = x.reshape(1, -1, *x.shape[2:])
        if self.up:
            kernels = kernels.transpose(1, 2).flatten(0, 1)
            x = F.conv_transpose2d(x, kernels, stride=2, groups=n)
            x = 4 * _filter(x)
        else:
            x = F.conv2d(x, kernels.flatten(0, 1), padding=1, groups=n)
        x = x.view(n, -1, *x.shape[2:])
        noise = torch.randn_like(x[:, :1]) if self.training else self.noise_map
        x = x + self.strength * noise + self.bias[:, None, None]
        return math.sqrt(2) * F.leaky_relu(x, 0.2)


class ToImage(nn.Module):
    def __init__(self, inputs: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.affine = Dense(style_dim, inputs, bias=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) / math.sqrt(self.weight.shape[1])
        image = F.conv2d(x * styles[:, :, None, None], self.weight[:, :, None, None])
        return image + self.bias[:, None, None]


class SynthesisBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, channels: int, dim: int, size: int) -> None:
        super().__init__()
        self.up = Styled(inputs, outputs, dim, size, up=True) if inputs else None
        self.conv = Styled(outputs, outputs, dim, size, up=False)
        self.to_image = ToImage(outputs, channels, dim)

    def forward(self, x: Tensor, image: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        if self.up is not None:
            x = self.up(x, w)
        x = self.conv(x, w)
        shown = self.to_image(x, w)
        return x, shown if image is None else shown + _filter(image, up=True)


def _widths(base: int, most: int) -> list[int]:
    return [min(base // size, most) for size in (4, 8, 16, 32)]


class StyleGAN2Generator(nn.Module):
    def __init__(self, channels: int, latent_dim: int, base: int, most: int, dim: int) -> None:
        super().__init__()
        widths = _widths(base, most)
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.mapping = Mapping(latent_dim, dim)
        self.blocks = nn.ModuleList(
            SynthesisBlock(a, b, channels, dim, 4 << i)
            for i, (a, b) in enumerate(zip([0, *widths], widths, strict=False))
        )

    def forward(self, z: Tensor) -> Tensor:
        w = self.mapping(z)
        x, image = self.constant.expand(len(z), -1, -1, -1), None
        for block in self.blocks:
            x, image = block(x, image, w)
        assert image is not None
        return image


class Convolution(nn.Module):
    """A convolution with an equalised learning rate and a leaky ReLU of gain sqrt(2)."""

    def __init__(self, inputs: int, outputs: int, size: int, down: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / math.sqrt(self.weight[0].numel())
        if self.down:
            x = F.conv2d(_filter(x, padding=2), weight, self.bias, stride=2)
        else:
            x = F.conv2d(x, weight, self.bias, padding=weight.shape[2] // 2)
        return math.sqrt(2) * F.leaky_relu(x, 0.2)


class StyleGAN2DownBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = Convolution(inputs, inputs, 3)
        self.down = Convolution(inputs, outputs, 3, down=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.conv(x))


class StyleGAN2Discriminator(nn.Module):
    def __init__(self, channels: int, base: int, most: int) -> None:
        super().__init__()
        widths = _widths(base, most)[::-1]
        self.from_image = Convolution(channels, widths[0], 1)
        self.blocks = nn.Sequential(*(StyleGAN2DownBlock(a, b) for a, b in pairwise(widths)))
        self.conv = Convolution(widths[-1] + 1, widths[-1], 3)
        self.linear = Dense(16 * widths[-1], widths[-1], activate=True)
        self.score = Dense(widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.blocks(self.from_image(x))
        groups = -(-len(h) // 32)
        spread = (h.unflatten(0, (-1, groups)).var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        spread = spread.repeat(len(h) // groups)[:, None, None, None].expand(-1, 1, 4, 4)
        h = self.conv(torch.cat([h, spread], dim=1))
        return self.score(self.linear(h.permute(0, 2, 3, 1).flatten(1))).view(-1)
