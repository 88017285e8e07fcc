"""Top-k training."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, image_scores
from zoo.registry import above, at_least, at_most, below, idle_when, regularizer


@regularizer("top_k")
class TopK(Regularizer):
    """Top-k training: G learns only from those of its images that D scores highest.

    Paper: Sinha et al. (2020), arXiv:2002.06224.

    Each process keeps k = max(decay^floor(updates / period), share) of its batch of N images,
    rounded down. The kept images get weight N / k and the others 0, so that tensor shapes do not
    change.

    Args:
        share: nu, the smallest fraction of the batch that is kept.
        decay: gamma, by which the fraction shrinks every `period` updates of G; 0 starts at
            `share`.
        period: number of updates of G that make an epoch in the paper's sense.
    """

    sides = ("generator",)
    schedulable = ("share",)

    count: Tensor

    def __init__(
        self,
        share: Annotated[float, above(0), at_most(1)] = 0.5,
        decay: Annotated[float, at_least(0), below(1)] = 0.99,
        period: Annotated[int, at_least(1), idle_when(decay=0.0)] = 1000,
    ) -> None:
        super().__init__()
        self.share = share
        self.decay = decay
        self.period = period
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def weights(self, update: Update) -> Tensor:
        scores = image_scores(update.fake_output.scores.detach())
        n = len(scores)
        epochs = torch.div(self.count, self.period, rounding_mode="floor")
        part = (
            torch.full_like(scores[0], self.decay).pow(epochs)
            if self.decay
            else torch.zeros_like(scores[0])
        )
        k = (part.clamp(min=self.share) * n).floor().clamp(min=1)
        if update.is_last:
            self.count += 1
        ranks = scores.argsort(descending=True).argsort()
        return (ranks < k).to(scores.dtype) * n / k
