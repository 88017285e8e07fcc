"""PacGAN's packing."""

from __future__ import annotations

from typing import Annotated

from zoo.contracts.regularizer import Regularizer
from zoo.registry import at_least, regularizer


@regularizer("packing")
class Packing(Regularizer):
    """D sees several images as one, all real or all fake, so that a missing mode shows.

    Paper: Lin et al. (2018), arXiv:1712.04086.

    D(x_1, ..., x_m): the images of a pack are stacked on channels, and a batch of N images has N/m
    scores. Only unconditional: images of one pack have no label in common. A batch of B packs, as
    the paper counts, is a batch size of m B.

    Args:
        images: m, how many images make a pack; the paper has 2 to 4, and 1 is a plain GAN.
    """

    def __init__(self, images: Annotated[int, at_least(1)] = 2) -> None:
        super().__init__()
        self.packs = images
