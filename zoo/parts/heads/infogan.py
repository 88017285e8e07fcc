"""The head of InfoGAN's discriminator."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from zoo.contracts.head import Head, Trunk
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.update import Update, widen
from zoo.core.errors import ZooError
from zoo.layers.norm import critic_norm
from zoo.registry import at_least, head, name_of

_LOG_TWO_PI = math.log(2 * math.pi)


@head("infogan")
class InfoGAN(Head):
    """InfoGAN: a plain score, and a network Q that recovers the latent's codes from the features.

    Paper: Chen et al. (2016), arXiv:1606.03657.

    On fakes, D and G both minimise lambda_discrete * CE(Q(c | G(z)), c), summed over categorical
    codes, and lambda_continuous * -log N(c; mu, sigma^2), summed over continuous ones. This is the
    paper's bound on the mutual information without the entropy of the codes, which is constant. Q
    consists of Linear, norm, leaky ReLU, Linear; its weights belong to D, as in the authors' code.

    The head needs `model/latent=codes`, works on any trunk and ignores labels. In a discriminator
    built on its own, without knowledge of the latent, only the score remains.

    Args:
        trunk: the trunk whose features the head scores; set by the discriminator.
        lambda_discrete, lambda_continuous: weights of the two terms; 1 in the authors' code, while
            0.1 is common for the continuous one.
        fix_std: whether sigma is fixed to 1, as in the authors' code for uniform codes; Q's output
            for sigma is then unused.
        width: width of Q's hidden layer.
        slope: negative slope of Q's leaky ReLU: 0.1 in the paper, 0.01 in the authors' code.
        norm: norm of Q's hidden layer: `batch` as in the paper. With per-sample penalties such as
            R1 it must be `layer` or `none`.
    """

    auxiliary_names = ("info_discrete", "info_continuous")
    tiny: ClassVar[dict[str, Any]] = {"width": 8, "norm": "layer"}

    def __init__(
        self,
        trunk: Trunk,
        lambda_discrete: Annotated[float, at_least(0)] = 1.0,
        lambda_continuous: Annotated[float, at_least(0)] = 1.0,
        fix_std: bool = True,
        width: Annotated[int, at_least(1)] = 128,
        slope: Annotated[float, at_least(0)] = 0.1,
        norm: Literal["batch", "layer", "none"] = "batch",
    ) -> None:
        super().__init__(trunk)
        self.lambda_discrete = lambda_discrete
        self.lambda_continuous = lambda_continuous
        self.fix_std = fix_std
        self.score = trunk.wrap(nn.Linear(trunk.features, 1, bias=trunk.bias))
        self.codes = trunk.latent.codes if trunk.latent is not None else ()
        if trunk.latent is not None and not self.codes:
            raise ZooError(
                "head infogan reads codes back, but latent "
                f"{name_of(trunk.latent)} has none: choose model/latent=codes"
            )
        if not self.codes:
            return
        self.reads_each_image = True
        # Behind the logits, Q gives a mean and a log variance for each continuous code.
        outputs = sum(code.size if code.categorical else 2 for code in self.codes)
        self.q = nn.Sequential(
            trunk.wrap(nn.Linear(trunk.features, width)),
            nn.Unflatten(1, (width, 1, 1)),
            critic_norm(norm, width, per_sample=False),
            nn.LeakyReLU(slope, inplace=True),
            nn.Flatten(),
            trunk.wrap(nn.Linear(width, outputs)),
        )

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.score(features).squeeze(1)

    def outputs(self, features: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        extra = {"codes": self.q(features)} if self.codes else {}
        return DiscriminatorOutput(self(features, y), features, extra)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        if not self.codes:
            return {}
        predicted, z = widen(update.fake_output.extra["codes"]), update.generated.z
        losses, start = {}, 0
        discrete: list[Tensor] = []
        continuous: list[int] = []
        for code in self.codes:
            if not code.categorical:
                continuous.append(code.start)
                continue
            target = z[:, code.start : code.start + code.size]
            likelihood = log_softmax(predicted[:, start : start + code.size], dim=1)
            discrete.append(-(target * likelihood).sum(1))
            start += code.size
        if discrete:
            losses["info_discrete"] = self.lambda_discrete * torch.stack(discrete).sum(0).mean()
        if continuous:
            mean, log_variance = predicted[:, start:].chunk(2, dim=1)
            target = torch.stack([z[:, index] for index in continuous], dim=1)
            if self.fix_std:
                log_variance = torch.zeros_like(mean)
            losses["info_continuous"] = (
                self.lambda_continuous * gaussian_nll(target, mean, log_variance).mean()
            )
        return losses


def gaussian_nll(target: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return -log N(target; mean, exp(log_variance)) of (N, K), summed over the K codes to (N,)."""
    square = (target - mean).square() * torch.exp(-log_variance)
    return 0.5 * (_LOG_TWO_PI + log_variance + square).sum(1)
