"""FD-DINOv2, the Fréchet distance on the features that agree best with human judgement."""

from __future__ import annotations

from zoo.metrics.scores.fd_on import FrechetOn
from zoo.registry import metric


@metric("fd_dinov2")
class FDDinoV2(FrechetOn):
    """The Fréchet distance on DINOv2's ViT-L/14, by the published protocol.

    Published values compare 50,000 generated images with 50,000 training images: n=50000.

    Paper: Stein et al. (2023), arXiv:2306.04675.

    Args:
        weights: the file dinov2_vitl14_pretrain.pth; None takes it from torch's hub folder, or
            downloads it there.
    """

    features = "dinov2"
    figures = ("fd_dinov2",)
    order = 17

    def __init__(self, weights: str | None = None) -> None:
        super().__init__(weights=weights)
