"""Patch scores, for discriminators that compute their own scores."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.linear import Embedding


class PatchScore(nn.Module):
    """A convolution from hidden maps (N, C, H, W) to one logit per position, (N, 1, H', W').

    With classes, <e(y), h> is added to every logit, where h is the mean of the maps over the window
    that the convolution sees there: the projection of Miyato & Koyama (2018), arXiv:1802.05637,
    applied patch by patch.

    Args:
        conv: a convolution from C channels to one, with stride 1.
        num_classes: number of classes; 0 for none.
        spectral_norm: whether to normalise the embedding.
    """

    def __init__(self, conv: nn.Conv2d, num_classes: int, spectral_norm: bool = False) -> None:
        super().__init__()
        self.conv = conv
        self.embedding = (
            Embedding(num_classes, conv.in_channels, spectral_norm) if num_classes else None
        )

    def forward(self, h: Tensor, y: Tensor | None) -> Tensor:
        scores = self.conv(h)
        if self.embedding is None:
            return scores
        matched = (h * self.embedding(y)[:, :, None, None]).sum(1, keepdim=True)
        kernel = self.conv.kernel_size
        padding = cast(tuple[int, int], self.conv.padding)
        return scores + F.avg_pool2d(matched, kernel, stride=1, padding=padding)
