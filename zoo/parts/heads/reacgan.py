"""The head of ReACGAN, with its data-to-data cross entropy."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from zoo.contracts.head import Trunk
from zoo.parts.heads.class_losses import cross_entropy_d2d
from zoo.parts.heads.contragan import EmbeddingHead
from zoo.registry import above, at_least, between, head


@head("reacgan")
class ReACGAN(EmbeddingHead):
    """ReACGAN: a plain score and a spherical classifier with margins, using D2D cross entropy.

    Paper: Kang et al. (2021), arXiv:2111.01118.

    The data-to-data cross entropy (D2D-CE) sets the similarity of an image to its label, counted up
    to `margin`, against its similarities to the batch's images of other classes, counted from 1 -
    margin up, over all processes. D minimises it on reals, G on fakes. It follows the paper's
    formula; StudioGAN's code shifts only the negatives "for stability", which gives another loss.
    The defaults of weight, margin and temperature are those for CIFAR; the paper uses 0.75, 1, 0.75
    for ImageNet and 0.25, 0.98, 0.25 for StyleGAN2 on CIFAR.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        weight: weight of the D2D cross entropy.
        margin: similarity of image and label beyond which the loss decreases no further.
        temperature: divisor of the similarities.
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
