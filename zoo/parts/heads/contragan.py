"""The contrastive head of ContraGAN, and the base class of heads with embeddings."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.update import Update, widen
from zoo.layers.shapes import check_labels
from zoo.parts.heads.class_losses import contrastive_2c
from zoo.registry import above, at_least, head


class EmbeddingHead(Head):
    """Base class of heads with a plain score and embeddings of image and label on the unit sphere.

    A subclass implements `pull`, the loss of a batch's embeddings. D minimises it on reals, G on
    fakes. The embedding of a label is called its proxy.

    Args:
        trunk: the trunk whose features the head scores.
        weight: weight of the embedding loss.
        width: length of the embeddings.
    """

    requires_labels = True
    auxiliary_names = ("class_loss",)

    def __init__(self, trunk: Trunk, weight: float, width: int) -> None:
        super().__init__(trunk)
        self.weight = weight
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))
        self.embed = trunk.wrap(nn.Linear(trunk.features, width, bias=trunk.bias))
        self.proxy = trunk.wrap(nn.Embedding(trunk.num_classes, width))

    def pull(self, embedding: Tensor, proxy: Tensor, y: Tensor) -> Tensor:
        """Return the loss of image embeddings and label proxies (N, width) for labels (N,)."""
        raise NotImplementedError

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        extra = {
            "embedding": F.normalize(widen(self.embed(features)), dim=1),
            "proxy": F.normalize(widen(self.proxy(check_labels(self, y))), dim=1),
        }
        return DiscriminatorOutput(self(features, y), features, extra)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        generator = update.side == "generator"
        output = update.fake_output if generator else update.real_output
        assert output is not None  # an update of D always has an output for the reals
        y = check_labels(self, update.labels)
        loss = self.pull(output.extra["embedding"], output.extra["proxy"], y)
        return {"class_loss": self.weight * loss}


@head("contragan")
class ContraGAN(EmbeddingHead):
    """ContraGAN: a plain score, and embeddings that the 2C loss draws together within a class.

    Paper: Kang & Park (2020), arXiv:2006.12681.

    The loss is -log of the share that the images of the same class and its label have in the sum of
    exp(similarity / temperature) over all images of the batch, across all processes. D minimises it
    on reals, G on fakes. Labels of other classes do not serve as negatives.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        weight: weight of the contrastive loss.
        temperature: divisor of the cosine similarities.
        width: length of the embeddings.
    """

    def __init__(
        self,
        trunk: Trunk,
        weight: Annotated[float, at_least(0)] = 1.0,
        temperature: Annotated[float, above(0)] = 1.0,
        width: Annotated[int, at_least(1)] = 512,
    ) -> None:
        super().__init__(trunk, weight, width)
        self.temperature = temperature

    def pull(self, embedding: Tensor, proxy: Tensor, y: Tensor) -> Tensor:
        return contrastive_2c(embedding, proxy, y, self.temperature)
