"""The bottleneck blocks of BigGAN-deep.

Paper: Brock et al. (2019), arXiv:1809.11096, appendix B.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.biggan import ModulatedBatchNorm2d
from zoo.layers.linear import Conv2d, Resample

RATIO = 4  # ratio of a block's width to that of its 3x3 convolutions


def _conv(inputs: int, outputs: int, kernel_size: int, resample: Resample = "none") -> Conv2d:
    return Conv2d(
        inputs,
        outputs,
        kernel_size,
        padding=kernel_size // 2,
        resample=resample,
        spectral_norm=True,
    )


class DeepGeneratorBlock(nn.Module):
    """Bottleneck of 1x1, 3x3, 3x3 and 1x1 convolutions, each after norm and ReLU; plus a shortcut.

    Maps (N, inputs, H, W) to (N, outputs, H, W), or with `up` to twice the sides by nearest
    upsampling. The 3x3 convolutions have a quarter of the input channels. The shortcut keeps the
    first `outputs` channels and drops the others.

    Args:
        inputs, outputs: numbers of channels, with `outputs` at most `inputs`.
        condition_dim: length of the norms' condition.
        up: whether to double the map.
    """

    def __init__(self, inputs: int, outputs: int, condition_dim: int, up: bool) -> None:
        super().__init__()
        hidden = max(inputs // RATIO, 1)
        self.outputs = outputs
        self.up = up
        self.norms = nn.ModuleList(
            ModulatedBatchNorm2d(width, condition_dim) for width in (inputs, hidden, hidden, hidden)
        )
        self.convs = nn.ModuleList(
            [
                _conv(inputs, hidden, 1),
                _conv(hidden, hidden, 3, "upsample" if up else "none"),
                _conv(hidden, hidden, 3),
                _conv(hidden, outputs, 1),
            ]
        )

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        h = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            h = conv(F.relu(norm(h, condition), inplace=True))
        x = x[:, : self.outputs]
        if self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return h.add_(x)


class DeepDiscriminatorBlock(nn.Module):
    """Bottleneck of 1x1, 3x3, 3x3 and 1x1 convolutions, each after a ReLU; plus a widened shortcut.

    Maps (N, inputs, H, W) to (N, outputs, H, W), or with `pool` to half the sides by average
    pooling. The 3x3 convolutions have a quarter of the output channels. Where `outputs` is more
    than `inputs`, the shortcut appends a 1x1 convolution of x to x.

    Args:
        inputs, outputs: numbers of channels, with `outputs` at least `inputs`.
        pool: whether to halve the map.
    """

    def __init__(self, inputs: int, outputs: int, pool: bool) -> None:
        super().__init__()
        hidden = max(outputs // RATIO, 1)
        self.pool = pool
        self.convs = nn.ModuleList(
            [_conv(inputs, hidden, 1), _conv(hidden, hidden, 3), _conv(hidden, hidden, 3)]
        )
        self.last = _conv(hidden, outputs, 1)
        self.widen = _conv(inputs, outputs - inputs, 1) if outputs > inputs else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.convs[0](F.relu(x))
        for conv in self.convs[1:]:
            h = conv(F.relu(h, inplace=True))
        h = F.relu(h, inplace=True)
        if self.pool:
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        if self.widen is not None:
            x = torch.cat([x, self.widen(x)], dim=1)
        return self.last(h).add_(x)
