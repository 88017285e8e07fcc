"""Blocks of FastGAN's networks, as published and as Projected GAN uses them.

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
    """FastGAN's convolution: spectral-normalised, without bias unless asked for."""
    return Conv2d(inputs, outputs, kernel, stride, padding, bias=bias, spectral_norm=True)


def fastgan_init(network: nn.Module) -> None:
    """N(0, 0.02) for all weights and N(1, 0.02) for those of batch norms."""
    network.apply(dcgan_init)
    redraw(network, lambda weight: nn.init.normal_(weight, 0.0, 0.02))


class Start(Conv2d):
    """The transposed convolution of a 1x1 map: latents (N, Z) to maps (N, C, side, side).

    A matrix product; the weight has the shape of a convolution's, so that its spectral norm is that
    of the transposed convolution's (C, Z · side²).
    """

    def __init__(self, latent_dim: int, outputs: int, side: int) -> None:
        super().__init__(latent_dim, outputs, side, bias=False, spectral_norm=True)

    def forward(self, z: Tensor) -> Tensor:
        weight = self.effective_weight()
        outputs, inputs, height, width = weight.shape
        rows = weight.permute(2, 3, 0, 1).reshape(-1, inputs)
        return linear(z, rows).view(-1, height, width, outputs).permute(0, 3, 1, 2)


class Noise(nn.Module):
    """x + weight · n, with one noise n for all channels and a weight that starts at 0.

    In training n is drawn anew for each image; otherwise it is fixed, so that a latent has one
    image. (The authors draw it anew there too.)

    Args:
        side: of the maps.
    """

    noise_map: Tensor  # by this name projections search for it

    def __init__(self, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        drawn = torch.Generator().manual_seed(side)
        noise_map = torch.randn(1, 1, side, side, generator=drawn, device="cpu")
        self.register_buffer("noise_map", noise_map, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        noise = self.noise_map
        if self.training:
            noise = torch.randn(len(x), 1, *x.shape[2:], device=x.device, dtype=noise.dtype)
        return x + (self.weight * noise).to(x.dtype)


class Norm(nn.Module):
    """Batch norm, with (1 + gain(c)) and bias(c) linear in a class's embedding c where given one.

    Args:
        channels: of the maps.
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
    """Upsample, 3x3 conv, noise, norm, GLU, then all but the first again; maps (N, C, 2H, 2W).

    The plain block is half of it: upsample, 3x3 conv, norm, GLU.

    Args:
        inputs, outputs: channels.
        side: of the output.
        plain: which block.
        embedding: width of the class embedding, 0 for none. With one, both noises share a weight,
            as in the authors' code of Projected GAN.
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
    """big · sigmoid(conv1x1(SiLU(conv4x4(small pooled to 4x4)))): channels weighed by a far map.

    Args:
        small, big: channels of the two maps.
    """

    def __init__(self, small: int, big: int) -> None:
        super().__init__()
        self.conv1 = conv(small, big, 4)
        self.conv2 = conv(big, big, 1)

    def forward(self, small: Tensor, big: Tensor) -> Tensor:
        h = F.silu(self.conv1(F.adaptive_avg_pool2d(small, 4)))
        return big * torch.sigmoid(self.conv2(h))


def activated(layer: Conv2d) -> nn.Sequential:
    """A convolution of D, batch norm and leaky ReLU."""
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.LeakyReLU(0.2, inplace=True))


class DownBlock(nn.Module):
    """The mean of two strided convolutions and of a pooled 1x1 one; halves the map.

    Args:
        inputs, outputs: channels.
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
    """Maps (N, C, H, W) back to images: pool to a small map, plain blocks up, 3x3 conv, tanh.

    Args:
        inputs: C.
        channels: of the images.
        base_channels: widths are 4, 2, 2 and 1 times it.
        start: side that maps are pooled to.
        ups: doublings from there to the image, at most 4.
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
