"""The twin auxiliary classifiers of TAC-GAN."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.update import Update
from zoo.layers.shapes import check_labels
from zoo.parts.heads.class_losses import class_hinge, class_lead, cross_entropy
from zoo.registry import at_least, head


@head("tacgan")
class TACGAN(Head):
    """TAC-GAN: a plain score and twin classifiers, one trained on reals and one on fakes.

    Paper: Gong et al. (2019), arXiv:1907.02690.

    D: + weight [CE(c(x), y) + CE(m(G), y)]; G: + weight [CE(c(G), y) - CE(m(G), y)]. The second
    term counteracts AC-GAN's tendency towards images of little variety.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        weight: weight of the classification losses.
        form: cross entropy, or a hinge over the wrong classes, which the authors' code offers too
            (there the mean also counts the right class, which adds a constant).
    """

    requires_labels = True
    auxiliary_names = ("class_loss",)

    def __init__(
        self,
        trunk: Trunk,
        weight: Annotated[float, at_least(0)] = 1.0,
        form: Literal["cross_entropy", "hinge"] = "cross_entropy",
    ) -> None:
        super().__init__(trunk)
        self.weight = weight
        self.form = form
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))
        self.classify = trunk.wrap(nn.Linear(trunk.features, trunk.num_classes, bias=trunk.bias))
        self.twin = trunk.wrap(nn.Linear(trunk.features, trunk.num_classes, bias=trunk.bias))

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        extra = {"class_logits": self.classify(features), "twin_logits": self.twin(features)}
        return DiscriminatorOutput(self(features, y), features, extra)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        y = check_labels(self, update.labels)
        fake = update.fake_output.extra
        entropy = self.form == "cross_entropy"
        if update.side == "generator":
            loss = cross_entropy if entropy else class_lead
            difference = loss(fake["class_logits"], y) - loss(fake["twin_logits"], y)
            return {"class_loss": self.weight * difference}
        assert update.real_output is not None  # an update of D always has it
        loss = cross_entropy if entropy else class_hinge
        real = update.real_output.extra["class_logits"]
        return {"class_loss": self.weight * (loss(real, y) + loss(fake["twin_logits"], y))}
