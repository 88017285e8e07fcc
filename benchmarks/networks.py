"""The networks of the cards in plain, textbook-style PyTorch, with which the zoo is compared.

They have the same mathematics and the same number of parameters as the zoo's networks, which
`tests/benchmarks/test_benchmarks.py` checks, but none of its optimizations: convolutions and
resampling are separate, and spectral norm is torch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Wrap = Callable[[nn.Module], nn.Module]


class MLPGenerator(nn.Module):
    def __init__(self, image_size: int, channels: int, latent_dim: int) -> None:
        super().__init__()
        self.shape = channels, image_size, image_size
        layers: list[nn.Module] = [nn.Linear(latent_dim, 128), nn.LeakyReLU(0.2, inplace=True)]
        for width in (128, 256, 512):
            layers += [nn.Linear(width, 2 * width), nn.BatchNorm1d(2 * width)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.layers = nn.Sequential(*layers, nn.Linear(1024, channels * image_size**2), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z).view(-1, *self.shape)


class MLPDiscriminator(nn.Module):
    def __init__(self, image_size: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * image_size**2, 512),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(512, 256),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Linear(256, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).view(-1)


def _dcgan_init(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class DCGANGenerator(nn.Module):
    def __init__(self, image_size: int, channels: int, latent_dim: int, width: int = 64) -> None:
        super().__init__()
        widths = {32: (4, 2, 1), 64: (8, 4, 2, 1)}[image_size]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_dim, widths[0] * width, 4, 1, 0, bias=False)
        ]
        for wide, narrow in pairwise(widths):
            layers += [
                nn.BatchNorm2d(wide * width),
                nn.ReLU(True),
                nn.ConvTranspose2d(wide * width, narrow * width, 4, 2, 1, bias=False),
            ]
        layers += [nn.BatchNorm2d(width), nn.ReLU(True)]
        layers += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_dcgan_init)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z[:, :, None, None])


class DCGANDiscriminator(nn.Module):
    def __init__(self, image_size: int, channels: int, width: int = 64) -> None:
        super().__init__()
        widths = {32: (1, 2, 4), 64: (1, 2, 4, 8)}[image_size]
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for narrow, wide in pairwise(widths):
            layers += [
                nn.Conv2d(narrow * width, wide * width, 4, 2, 1, bias=False),
                nn.BatchNorm2d(wide * width),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(nn.Conv2d(widths[-1] * width, 1, 4, 1, 0, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(_dcgan_init)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).view(-1)


def _xavier(layer: nn.Module, gain: float) -> nn.Module:
    nn.init.xavier_uniform_(layer.weight, gain)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


class UpBlock(nn.Module):
    def __init__(self, width: int, start: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(start)
        self.conv1 = _xavier(nn.Conv2d(start, width, 3, padding=1), 2**0.5)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = _xavier(nn.Conv2d(width, width, 3, padding=1), 2**0.5)
        self.shortcut = _xavier(nn.Conv2d(start, width, 1), 1.0)

    def forward(self, x: Tensor) -> Tensor:
        h = F.interpolate(F.relu(self.norm1(x)), scale_factor=2)
        h = self.conv2(F.relu(self.norm2(self.conv1(h))))
        return h + self.shortcut(F.interpolate(x, scale_factor=2))


class ResNetGenerator(nn.Module):
    """For images of 32x32 pixels."""

    def __init__(self, channels: int, latent_dim: int, width: int = 256) -> None:
        super().__init__()
        self.width = width
        self.project = _xavier(nn.Linear(latent_dim, 16 * width), 1.0)
        self.blocks = nn.Sequential(*(UpBlock(width, width) for _ in range(3)))
        self.norm = nn.BatchNorm2d(width)
        self.to_image = _xavier(nn.Conv2d(width, channels, 3, padding=1), 1.0)

    def forward(self, z: Tensor) -> Tensor:
        h = self.blocks(self.project(z).view(-1, self.width, 4, 4))
        return torch.tanh(self.to_image(F.relu(self.norm(h))))


class DownBlock(nn.Module):
    def __init__(self, inputs: int, width: int, pool: bool, first: bool, wrap: Wrap) -> None:
        super().__init__()
        self.pool, self.first = pool, first
        self.conv1 = wrap(_xavier(nn.Conv2d(inputs, width, 3, padding=1), 2**0.5))
        self.conv2 = wrap(_xavier(nn.Conv2d(width, width, 3, padding=1), 2**0.5))
        self.shortcut = wrap(_xavier(nn.Conv2d(inputs, width, 1), 1.0)) if pool else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.shortcut is None:
            return h + x
        # As in the papers' code, the first block pools before its shortcut, the others after it.
        if self.first:
            return F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))
        return F.avg_pool2d(h + self.shortcut(x), 2)


class ResNetDiscriminator(nn.Module):
    """For images of 32x32 pixels."""

    def __init__(self, channels: int, width: int = 128, spectral: bool = True) -> None:
        super().__init__()
        wrap: Wrap = spectral_norm if spectral else lambda layer: layer
        self.spectral = spectral
        self.blocks = nn.Sequential(
            DownBlock(channels, width, pool=True, first=True, wrap=wrap),
            DownBlock(width, width, pool=True, first=False, wrap=wrap),
            DownBlock(width, width, pool=False, first=False, wrap=wrap),
            DownBlock(width, width, pool=False, first=False, wrap=wrap),
        )
        self.score = wrap(_xavier(nn.Linear(width, 1), 1.0))

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.blocks(x))
        h = h.sum((2, 3)) if self.spectral else h.mean((2, 3))
        return self.score(h).view(-1)
