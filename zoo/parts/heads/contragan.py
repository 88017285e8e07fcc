"""Conditional contrastive learning."""

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
    """Plain score, and an embedding of the image and one of its label (a proxy) on the sphere.

    A subclass says in `pull` what embeddings of a batch have to pay; D pays it on reals, G on
    fakes.

    Args:
        trunk: of the head.
        weight: of that term.
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
        """The loss of embeddings and proxies (N, width) of labels (N,)."""
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
        assert output is not None  # an update of D always has the reals'
        y = check_labels(self, update.labels)
        loss = self.pull(output.extra["embedding"], output.extra["proxy"], y)
        return {"class_loss": self.weight * loss}


@head("contragan")
class ContraGAN(EmbeddingHead):
    """Plain score and embeddings that draw images of a class together (2C loss).

    Paper: Kang & Park (2020), arXiv:2006.12681.

    -log of the share that the own class's images and label have in exp(similarity / temperature)
    among all images of the batch, over all processes; D pays it on reals, G on fakes. Labels of
    other classes are no negatives.

    Args:
        weight: of that term.
        temperature: divides the cosines.
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
