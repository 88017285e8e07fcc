"""The auxiliary discriminative classifier of ADC-GAN."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.update import Update
from zoo.layers.shapes import check_labels
from zoo.parts.heads.class_losses import class_hinge, class_lead, cross_entropy
from zoo.registry import at_least, head


@head("adcgan")
class ADCGAN(Head):
    """ADC-GAN: a plain score and a classifier of 2K classes, each class split into real and fake.

    Paper: Hou et al. (2022), arXiv:2107.10060.

    With class 2y for a real and 2y + 1 for a fake of label y,
    D: + weight [CE(a(x), 2y) + CE(a(G), 2y + 1)]; G: + weight [CE(a(G), 2y) - CE(a(G), 2y + 1)],
    which keeps G's images of a class as varied as the real ones.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        weight: weight of the classification losses; the paper uses 1 for CIFAR and 0.5 for Tiny
            ImageNet.
        form: cross entropy, or a hinge over the wrong classes, which the authors' code offers too.
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
        self.classify = trunk.wrap(
            nn.Linear(trunk.features, 2 * trunk.num_classes, bias=trunk.bias)
        )

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        extra = {"class_logits": self.classify(features)}
        return DiscriminatorOutput(self(features, y), features, extra)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        y = check_labels(self, update.labels)
        fake = update.fake_output.extra["class_logits"]
        entropy = self.form == "cross_entropy"
        if update.side == "generator":
            loss = cross_entropy if entropy else class_lead
            return {"class_loss": self.weight * (loss(fake, 2 * y) - loss(fake, 2 * y + 1))}
        assert update.real_output is not None  # an update of D always has it
        real = update.real_output.extra["class_logits"]
        loss = cross_entropy if entropy else class_hinge
        return {"class_loss": self.weight * (loss(real, 2 * y) + loss(fake, 2 * y + 1))}
