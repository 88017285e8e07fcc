"""Data-to-data cross entropy."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.head import Trunk
from zoo.parts.heads.class_losses import cross_entropy_d2d
from zoo.parts.heads.contragan import EmbeddingHead
from zoo.registry import above, at_least, between, head


@head("reacgan")
class ReACGAN(EmbeddingHead):
    """Plain score and a classifier on the sphere with margins, against images of other classes.

    Paper: Kang et al. (2021), arXiv:2111.01118.

    D2D-CE: the cross entropy of the own label's similarity, up to `margin`, against that of the
    batch's images of other classes, from 1 - margin on, over all processes; D pays it on reals, G
    on fakes. By the paper's formula: StudioGAN's code shifts the negatives alone "for stability",
    which is another loss. (weight, margin, temperature) are those for CIFAR; ImageNet's are 0.75,
    1, 0.75, those of StyleGAN2 on CIFAR 0.25, 0.98, 0.25.

    Args:
        weight: of that term.
        margin: similarity of image and label beyond which nothing is gained.
        temperature: divides the similarities.
        width: length of the embeddings.
    """

    def __init__(
        self,
        trunk: Trunk,
        weight: Annotated[float, at_least(0)] = 0.5,
        margin: Annotated[float, between(-1, 1)] = 0.98,
        temperature: Annotated[float, above(0)] = 0.5,
        width: Annotated[int, at_least(1)] = 512,
    ) -> None:
        super().__init__(trunk, weight, width)
        self.margin = margin
        self.temperature = temperature

    def pull(self, embedding: Tensor, proxy: Tensor, y: Tensor) -> Tensor:
        return cross_entropy_d2d(embedding, proxy, y, self.temperature, self.margin)
