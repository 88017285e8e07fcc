"""Residual blocks of the SNGAN and WGAN-GP networks.

Papers: Gulrajani et al. (2017), arXiv:1704.00028; Miyato et al. (2018), arXiv:1802.05957.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.attention import SelfAttention2d, attention_place
from zoo.layers.linear import Conv2d, Resample
from zoo.layers.shapes import map_sizes

# Xavier gain of convolutions whose output passes through a ReLU; shortcuts have gain 1.
RELU_GAIN = math.sqrt(2)


class ConditionalBatchNorm2d(nn.Module):
    """Batch norm, then (1 + gamma(y)) * x + beta(y), with gamma = beta = 0 at the start.

    Maps (N, C, H, W) and labels (N,) to (N, C, H, W). With `num_classes=0` it is plain batch norm
    and ignores labels.

    Paper: Dumoulin et al. (2017), arXiv:1610.07629.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=num_classes == 0)
        self.scale_and_shift = nn.Embedding(num_classes, 2 * channels) if num_classes else None
        if self.scale_and_shift is not None:
            nn.init.zeros_(self.scale_and_shift.weight)

    def forward(self, x: Tensor, y: Tensor | None) -> Tensor:
        x = self.norm(x)
        if self.scale_and_shift is None:
            return x
        gamma, beta = self.scale_and_shift(y)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        return torch.addcmul(beta, x, 1 + gamma)


class ConditionalAdaIN(nn.Module):
    """Instance norm, then (1 + gamma(y)) * x + beta(y), with gamma = beta = 0 at the start.

    Maps (N, C, H, W) and labels (N,) to (N, C, H, W). Images do not affect each other.

    Paper: Huang & Belongie (2017), arXiv:1703.06868, with the label in place of a style.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels)
        self.scale_and_shift = nn.Embedding(num_classes, 2 * channels)
        nn.init.zeros_(self.scale_and_shift.weight)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gamma, beta = self.scale_and_shift(y)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        return torch.addcmul(beta, self.norm(x), 1 + gamma)


class GeneratorBlock(nn.Module):
    """Norm, ReLU, upsample, 3x3 conv, norm, ReLU, 3x3 conv; plus an upsampled 1x1 shortcut.

    Maps (N, inputs, H, W) to (N, outputs, 2H, 2W). The shortcut's convolution runs before its
    upsampling, since a 1x1 convolution and the repetition of pixels commute.

    Args:
        inputs, outputs: numbers of channels.
        norm: makes a norm for a number of channels; the norm is called with the map and the
            condition.
        spectral_norm: whether to normalise the convolutions' weights.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: Callable[[int], nn.Module],
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()

        def conv3(inputs: int, resample: Resample = "none") -> Conv2d:
            return Conv2d(
                inputs,
                outputs,
                3,
                padding=1,
                resample=resample,
                spectral_norm=spectral_norm,
                gain=RELU_GAIN,
            )

        self.norm1 = norm(inputs)
        self.conv1 = conv3(inputs, "upsample")
        self.norm2 = norm(outputs)
        self.conv2 = conv3(outputs)
        self.shortcut = Conv2d(inputs, outputs, 1, spectral_norm=spectral_norm)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        h = self.conv1(F.relu(self.norm1(x, condition), inplace=True))
        h = self.conv2(F.relu(self.norm2(h, condition), inplace=True))
        return h.add_(F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest"))


class DiscriminatorBlock(nn.Module):
    """ReLU, 3x3 conv, ReLU, 3x3 conv, average pool; plus a pooled 1x1 shortcut.

    Maps (N, inputs, H, W) to (N, outputs, H/2, W/2), or without `pool` to (N, outputs, H, W), where
    the shortcut is the identity if `inputs == outputs`. The shortcut takes x itself, not its ReLU,
    and pools before its 1x1 convolution, since the two commute.

    Args:
        inputs, outputs: numbers of channels.
        pool: whether to halve the map.
        first: whether this is the block that sees the image. It has no ReLU before its first
            convolution, which changes the width to `outputs`; in other blocks the second one does.
        spectral_norm: whether to normalise the convolutions' weights.
        wide: whether the first convolution changes the width in every block, as in BigGAN.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        pool: bool,
        first: bool,
        spectral_norm: bool,
        wide: bool = False,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.first = first
        hidden = outputs if first or wide else inputs
        resample: Resample = "pool" if pool else "none"
        self.conv1 = Conv2d(
            inputs, hidden, 3, padding=1, spectral_norm=spectral_norm, gain=RELU_GAIN
        )
        self.conv2 = Conv2d(
            hidden,
            outputs,
            3,
            padding=1,
            resample=resample,
            spectral_norm=spectral_norm,
            gain=RELU_GAIN,
        )
        self.shortcut = (
            Conv2d(inputs, outputs, 1, spectral_norm=spectral_norm)
            if pool or inputs != outputs
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x if self.first else F.relu(x))
        h = self.conv2(F.relu(h, inplace=True))
        if self.pool:
            x = F.avg_pool2d(x, 2)
        return h.add_(x if self.shortcut is None else self.shortcut(x))


class ResNetTrunk(nn.Module):
    """The convolutional part of the SNGAN / WGAN-GP discriminator, up to the pooled features.

    Maps (N, inputs, H, W) to (N, self.width). There are two plans, with `base` for `base_channels`:

    - `constant` (32 pixels): four blocks of width `base`, of which the first two halve the map.
    - `pyramid` (48 pixels and more): at least five blocks of widths base/2, base, 2 base, ... up to
      8 base, which halve the map as long as it is even and above 2; if there are six or more (128
      pixels), the last one does not halve it.

    Args:
        inputs: number of image channels.
        size: height and width, multiples of 4.
        base_channels: the base width, see above.
        pyramid: whether to use the `pyramid` plan.
        spectral_norm: whether to normalise every weight.
        mean: whether to pool features by the mean over positions instead of the sum.
        attention: (shorter) side of the map that self-attention is applied to; 0 for none.
        part: kind and name of the part, for error messages.
    """

    def __init__(
        self,
        inputs: int,
        size: tuple[int, int],
        base_channels: int,
        pyramid: bool,
        spectral_norm: bool,
        mean: bool,
        attention: int = 0,
        part: str = "discriminator resnet",
    ) -> None:
        super().__init__()
        self.mean = mean
        halvings = len(map_sizes(*size, smallest=2)) - 1
        if not pyramid:
            halvings = min(halvings, 2)
        count = max(5 if pyramid else 4, halvings)
        if count > 5:
            halvings = min(halvings, count - 1)
        widths = [
            max(base_channels * min(2**i, 16) // 2, 1) if pyramid else base_channels
            for i in range(count)
        ]
        self.width = widths[-1]
        blocks: list[nn.Module] = [
            DiscriminatorBlock(narrow, wide, i < halvings, i == 0, spectral_norm)
            for i, (narrow, wide) in enumerate(zip([inputs, *widths], widths, strict=False))
        ]
        sides = [min(size) >> min(i + 1, halvings) for i in range(count)]
        place = attention_place(attention, sides, part)
        if place is not None:
            blocks.insert(place + 1, SelfAttention2d(widths[place], spectral_norm))
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.blocks(x), inplace=True)
        # Pooled in fp32 at least, since sums in bf16 (under autocast) would lose bits.
        dtype = torch.promote_types(h.dtype, torch.float32)
        return h.mean((2, 3), dtype=dtype) if self.mean else h.sum((2, 3), dtype=dtype)
