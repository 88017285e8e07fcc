"""A distance between images in the features of a frozen network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.pretrained import as_colours, frozen_pyramid


class PerceptualDistance(nn.Module):
    """The sum over four maps of the mean squared distance of normalised features, (N,).

    It is computed like LPIPS, but on EfficientNet-Lite0's maps of 24, 40, 112 and 320 channels with
    equal weights, because these features come in a package and need no download. Its values are not
    comparable to those of LPIPS.

    Paper: Zhang et al. (2018), arXiv:1801.03924.

    Args:
        part: kind and name of the part that uses it, for error messages.
    """

    def __init__(self, part: str) -> None:
        super().__init__()
        self.pyramid, _ = frozen_pyramid("tf_efficientnet_lite0", True, part)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self.pyramid(as_colours(target))
        return unit_distance(self.pyramid(as_colours(x)), targets)


def unit_distance(maps: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Return the sum over maps of the mean over positions of |a/|a| - b/|b||², for each image.

    Args:
        maps, targets: maps (N, C, H, W), of which a and b are the vectors at a position.
    """
    total = torch.zeros(len(maps[0]), device=maps[0].device)
    for a, b in zip(maps, targets, strict=True):
        a, b = F.normalize(a.float(), dim=1), F.normalize(b.float(), dim=1)
        total = total + (a - b).square().sum(1).mean((1, 2))
    return total
