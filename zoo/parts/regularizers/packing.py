"""The packing of PacGAN."""

from __future__ import annotations

from typing import Annotated

from zoo.contracts.regularizer import Regularizer
from zoo.registry import at_least, regularizer


@regularizer("packing")
class Packing(Regularizer):
    """Packing (PacGAN): D sees several images at once, all real or all fake, to expose lost modes.

    Paper: Lin et al. (2018), arXiv:1712.04086.

    D(x_1, ..., x_m): the images of a pack are stacked on the channels, so a batch of N images has
    N/m scores. It works without labels only, since the images of a pack share none. B packs, as the
    paper counts batches, are a batch size of m B.

    Args:
        images: m, the number of images in a pack; 2 to 4 in the paper, and 1 is a plain GAN.
    """

    def __init__(self, images: Annotated[int, at_least(1)] = 2) -> None:
        super().__init__()
        self.packs = images
