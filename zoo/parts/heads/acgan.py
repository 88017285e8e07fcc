"""The auxiliary classifier of AC-GAN."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.update import Update
from zoo.layers.shapes import check_labels
from zoo.parts.heads.class_losses import cross_entropy
from zoo.registry import at_least, below, head, idle_when


@head("acgan")
class ACGAN(Head):
    """AC-GAN: a plain score and an auxiliary classifier, whose loss G minimises too.

    Paper: Odena et al. (2017), arXiv:1610.09585.

    D: + weight_d CE(c(x), y), and with `both` the same on fakes; G: + weight_g CE(c(G(z, y)), y).
    The paper trains D's classifier on both sides. Later work trains it on reals alone, so that D
    need not assign G's failures to their class, and training collapses less often.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        weight_d, weight_g: weight of the classification loss in D's and in G's update.
        both: whether D's classifier is trained on fakes as well.
        smoothing: label smoothing of the loss on reals (Szegedy et al., 2016, arXiv:1512.00567).
    """

    requires_labels = True
    auxiliary_names = ("class_loss",)

    def __init__(
        self,
        trunk: Trunk,
        weight_d: Annotated[float, at_least(0)] = 1.0,
        weight_g: Annotated[float, at_least(0)] = 1.0,
        both: Annotated[bool, idle_when(weight_d=0.0)] = False,
        smoothing: Annotated[float, at_least(0), below(1), idle_when(weight_d=0.0)] = 0.0,
    ) -> None:
        super().__init__(trunk)
        self.weight_d = weight_d
        self.weight_g = weight_g
        self.both = both
        self.smoothing = smoothing
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))
        self.classify = trunk.wrap(nn.Linear(trunk.features, trunk.num_classes, bias=trunk.bias))

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        extra = {"class_logits": self.classify(features)}
        return DiscriminatorOutput(self(features, y), features, extra)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        y = check_labels(self, update.labels)
        fake = cross_entropy(update.fake_output.extra["class_logits"], y)
        if update.side == "generator":
            return {"class_loss": self.weight_g * fake}
        assert update.real_output is not None  # an update of D always has it
        loss = cross_entropy(update.real_output.extra["class_logits"], y, self.smoothing)
        return {"class_loss": self.weight_d * (loss + fake if self.both else loss)}
