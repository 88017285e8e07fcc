"""The Fréchet distance on ImageNet features whose weights come in a Python package."""

from __future__ import annotations

from zoo.metrics.scores.fd_on import FrechetOn
from zoo.registry import metric


@metric("fd_lite0")
class FDLite0(FrechetOn):
    """The Fréchet distance on EfficientNet-Lite0's features, whatever features other metrics use.

    It works without a network connection, and for data without embedded features of their own. Its
    values are not comparable with those of FID.

    Paper: Heusel et al. (2017), arXiv:1706.08500; Tan and Le (2019), arXiv:1905.11946.
    """

    features = "efficientnet_lite0"
    figures = ("fd_lite0",)
    order = 16

    def __init__(self) -> None:
        super().__init__()
