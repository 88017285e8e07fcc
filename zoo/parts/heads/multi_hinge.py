"""The multi-hinge head."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from zoo.contracts.head import Head, Trunk
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.update import Update
from zoo.layers.shapes import check_labels
from zoo.parts.heads.class_losses import crammer_singer
from zoo.parts.regularizers.feature_matching import mean_features
from zoo.registry import at_least, head


@head("multi_hinge")
class MultiHinge(Head):
    """Multi-hinge: one classifier of K classes plus "fake" replaces both the score and the loss.

    Paper: Kavalerov et al. (2021), arXiv:1912.04216.

    With CS(l, t) = relu(1 + max over k other than t of l_k - l_t), D: CS(x, y) + CS(G, fake); G:
    weight CS(G, y) + matching * mean |mean phi(x) - mean phi(G)|, with means over all processes.
    The model's loss on scores is not used; the reported score is l_y - l_fake.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        weight: weight of G's hinge term.
        matching: weight of G's feature matching; 0 disables it.
    """

    requires_labels = True
    replaces_loss = True
    needs_real = True
    auxiliary_names = ("class_loss", "feature_matching")

    def __init__(
        self,
        trunk: Trunk,
        weight: Annotated[float, at_least(0)] = 0.05,
        matching: Annotated[float, at_least(0)] = 1.0,
    ) -> None:
        super().__init__(trunk)
        self.weight = weight
        self.matching = matching
        self.classify = trunk.wrap(
            nn.Linear(trunk.features, trunk.num_classes + 1, bias=trunk.bias)
        )

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self._lead(self.classify(features), y)

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        logits = self.classify(features)
        return DiscriminatorOutput(self._lead(logits, y), features, {"class_logits": logits})

    def _lead(self, logits: Tensor, y: Tensor | None) -> Tensor:
        """Return the score l_y - l_fake, (N,)."""
        own = logits.gather(1, check_labels(self, y)[:, None]).squeeze(1)
        return own - logits[:, -1]

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        assert update.real_output is not None  # D's update always has it, G's due to `needs_real`
        y = check_labels(self, update.labels)
        fake = update.fake_output.extra["class_logits"]
        if update.side == "discriminator":
            real = update.real_output.extra["class_logits"]
            target = torch.full_like(y, self.num_classes)
            return {"class_loss": crammer_singer(real, y) + crammer_singer(fake, target)}
        losses = {"class_loss": self.weight * crammer_singer(fake, y)}
        if self.matching:
            real_mean = mean_features(update.real_output.features.detach())
            gap = real_mean - mean_features(update.fake_output.features)
            losses["feature_matching"] = self.matching * gap.abs().mean()
        return losses
