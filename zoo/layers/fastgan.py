"""Blocks of FastGAN's networks, in their published form and in that of Projected GAN.

Papers: Liu et al. (2021), arXiv:2101.04775; Sauer et al. (2021), arXiv:2111.01007.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.init import dcgan_init, redraw
from zoo.layers.linear import Conv2d, Resample
from zoo.layers.product import linear


def conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0, bias: bool = False
) -> Conv2d:
    """Return FastGAN's convolution: spectral-normalised, by default without bias."""
    return Conv2d(inputs, outputs, kernel, stride, padding, bias=bias, spectral_norm=True)


def fastgan_init(network: nn.Module) -> None:
    """Initialise all weights from N(0, 0.02), and those of batch norms from N(1, 0.02)."""
    network.apply(dcgan_init)
    redraw(network, lambda weight: nn.init.normal_(weight, 0.0, 0.02))


class Start(Conv2d):
    """The transposed convolution of a 1x1 map: latents (N, Z) to maps (N, C, side, side).

    It is computed as a matrix product. The weight has the shape of a convolution's, so that it is
    seen as a matrix (C, Z · side²), as spectral norm sees that of a transposed convolution.
    """

    def __init__(self, latent_dim: int, outputs: int, side: int) -> None:
        super().__init__(latent_dim, outputs, side, bias=False, spectral_norm=True)

    def forward(self, z: Tensor) -> Tensor:
        weight = self.effective_weight()
        outputs, inputs, height, width = weight.shape
        rows = weight.permute(2, 3, 0, 1).reshape(-1, inputs)
        return linear(z, rows).view(-1, height, width, outputs).permute(0, 3, 1, 2)


class Noise(nn.Module):
    """x + weight · n, with one noise map n for all channels and a learned weight that starts at 0.

    In training, n is drawn anew for each image. Otherwise it is fixed, so that a latent always
    gives the same image; the authors redraw it then too.

    Args:
        side: side of the maps.
    """

    noise_map: Tensor  # `task=project` finds noise by this name

    def __init__(self, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        generator = torch.Generator().manual_seed(side)
        noise_map = torch.randn(1, 1, side, side, generator=generator, device="cpu")
        self.register_buffer("noise_map", noise_map, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        noise = self.noise_map
        if self.training:
            noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=noise.dtype)
        return x + (self.weight * noise).to(x.dtype)


class Norm(nn.Module):
    """Batch norm, optionally with gain 1 + gain(c) and bias(c), linear in a class embedding c.

    Args:
        channels: number of channels of the maps.
        embedding: width of c; 0 for plain batch norm.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not embedding)
        self.gain = nn.Linear(embedding, channels) if embedding else None
        self.bias = nn.Linear(embedding, channels) if embedding else None

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        x = self.norm(x)
        if self.gain is None or self.bias is None:
            return x
        gain, bias = (layer(c)[:, :, None, None].to(x.dtype) for layer in (self.gain, self.bias))
        return torch.addcmul(bias, x, 1 + gain)


class GeneratorBlock(nn.Module):
    """Upsample, 3x3 conv, noise, norm, GLU, then all but the upsampling again: maps (N, C, 2H, 2W).

    The plain block is upsample, 3x3 conv, norm, GLU.

    Args:
        inputs, outputs: numbers of channels.
        side: side of the output.
        plain: whether to build the plain block.
        embedding: width of the class embedding; 0 for none. With one, both noises share a weight,
            as in Projected GAN's code.
    """

    def __init__(
        self, inputs: int, outputs: int, side: int, plain: bool = False, embedding: int = 0
    ) -> None:
        super().__init__()

        def conv3(inputs: int, resample: Resample = "none") -> Conv2d:
            return Conv2d(
                inputs,
                2 * outputs,
                3,
                padding=1,
                bias=False,
                resample=resample,
                spectral_norm=True,
            )

        self.conv1 = conv3(inputs, "upsample")
        self.norm1 = Norm(2 * outputs, embedding)
        self.noise1 = None if plain else Noise(side)
        self.conv2 = None if plain else conv3(outputs)
        self.norm2 = None if plain else Norm(2 * outputs, embedding)
        self.noise2 = None if plain else self.noise1 if embedding else Noise(side)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.conv1(x)
        if self.noise1 is not None:
            h = self.noise1(h)
        h = F.glu(self.norm1(h, c), dim=1)
        if self.conv2 is None or self.norm2 is None or self.noise2 is None:
            return h
        return F.glu(self.norm2(self.noise2(self.conv2(h)), c), dim=1)


class SkipExcitation(nn.Module):
    """big · sigmoid(conv1x1(SiLU(conv4x4(small pooled to 4x4)))): channels gated by a distant map.

    Args:
        small, big: numbers of channels of the two maps.
    """

    def __init__(self, small: int, big: int) -> None:
        super().__init__()
        self.conv1 = conv(small, big, 4)
        self.conv2 = conv(big, big, 1)

    def forward(self, small: Tensor, big: Tensor) -> Tensor:
        h = F.silu(self.conv1(F.adaptive_avg_pool2d(small, 4)))
        return big * torch.sigmoid(self.conv2(h))


def activated(layer: Conv2d) -> nn.Sequential:
    """Return a convolution of D followed by batch norm and leaky ReLU."""
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.LeakyReLU(0.2, inplace=True))


class DownBlock(nn.Module):
    """The mean of a strided pair of convolutions and a pooled 1x1 convolution; halves the map.

    Args:
        inputs, outputs: numbers of channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            activated(conv(inputs, outputs, 4, 2, 1)), activated(conv(outputs, outputs, 3, 1, 1))
        )
        self.direct = activated(conv(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.direct(F.avg_pool2d(x, 2))) / 2


class Decoder(nn.Module):
    """Maps (N, C, H, W) back to images: pooling to a small map, plain blocks up, 3x3 conv, tanh.

    Args:
        inputs: C, the number of channels of the maps.
        channels: number of image channels.
        base_channels: width of the last block; those before have 4, 2 and 2 times as many channels.
        start: side to which maps are pooled.
        ups: number of doublings from there to the image, at most 4.
    """

    def __init__(self, inputs: int, channels: int, base_channels: int, start: int, ups: int):
        super().__init__()
        self.start = start
        widths = [inputs, *(base_channels * times for times in (4, 2, 2, 1)[:ups])]
        self.blocks = nn.ModuleList(
            GeneratorBlock(widths[i], widths[i + 1], start << (i + 1), plain=True)
            for i in range(ups)
        )
        self.to_image = conv(widths[-1], channels, 3, 1, 1)

    def forward(self, maps: Tensor) -> Tensor:
        h = F.adaptive_avg_pool2d(maps, self.start)
        for block in self.blocks:
            h = block(h)
        return torch.tanh(self.to_image(h))
