"""LeCam regularization."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor
from torch.nn.functional import relu

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.core.distributed import mean_over_processes
from zoo.registry import at_least, below, regularizer


@regularizer("lecam")
class LeCam(Regularizer):
    """LeCam: pulls D's scores towards moving averages of the other side; helps with little data.

    Paper: Tseng et al. (2021), arXiv:2104.03310.

    weight * E[relu(D(x) - a_fake)^2 + relu(a_real - D(G(z)))^2], where a_real and a_fake are moving
    averages of D's mean scores over all processes. A suitable weight depends on the scale of the
    scores: the defaults are the recipe for BigGAN on CIFAR (hinge, spectral norm); the one for
    StyleGAN2 is weight 1e-6, decay 0.99, start 0, debias true
    (`model/regularizer=[lecam_stylegan2]`).

    Args:
        weight: lambda, the weight of the penalty.
        decay: decay of the moving averages per update of D.
        start: number of updates of D before the penalty sets in; the averages run from the first.
        debias: whether averages start at 0 and are divided by 1 - decay^updates; otherwise they
            start at the first scores.
        every: apply the penalty to every k-th update of D, with k times the weight.
    """

    schedulable = ("weight",)

    average_real: Tensor
    average_fake: Tensor
    count: Tensor

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 0.3,
        decay: Annotated[float, at_least(0), below(1)] = 0.9,
        start: Annotated[int, at_least(0)] = 1000,
        debias: bool = False,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.weight = weight
        self.decay = decay
        self.start = start
        self.debias = debias
        # The count is a tensor too: a CUDA graph would freeze a Python number.
        self.register_buffer("average_real", torch.zeros(()))
        self.register_buffer("average_fake", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, update: Update) -> Tensor:
        assert update.real_output is not None  # an update of D always has it
        real, fake = update.real_output.scores, update.fake_output.scores
        with torch.no_grad():
            first = (self.count == 0) & (not self.debias and update.piece == 0)
            means = mean_over_processes(torch.stack((real.mean(), fake.mean())))
            means = means.to(self.average_real.dtype)
            # One move stands for all updates since the last one.
            share = update.share_of_piece(1 - self.decay**self.every)
            for average, mean in zip((self.average_real, self.average_fake), means, strict=True):
                average.copy_(torch.where(first, mean, average.lerp(mean, share)))
            active = (self.count >= self.start).to(real.dtype)
            updates = self.count + self.every * (update.piece + 1) / update.pieces
            if update.is_last:
                self.count += self.every
        # Cloned, because the next update changes the averages in place.
        average_real, average_fake = self.average_real.clone(), self.average_fake.clone()
        if self.debias:
            correction = 1 - torch.full_like(average_real, self.decay).pow(updates)
            average_real, average_fake = average_real / correction, average_fake / correction
        penalty = relu(real - average_fake).square() + relu(average_real - fake).square()
        return self.weight * active * penalty.mean()
