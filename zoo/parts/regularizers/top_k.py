"""Top-k training."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, image_scores
from zoo.core.errors import ZooError, at_least
from zoo.registry import regularizer


@regularizer("top_k")
class TopK(Regularizer):
    """G learns only from the images of its batch that D scores highest.

    Paper: Sinha et al. (2020), arXiv:2002.06224.

    k = max(decay^(updates / period), share) of the batch, rounded down; of each process on its own.
    The others get weight 0, those kept N / k, so that shapes stay as they are.

    Args:
        share: nu, the least part of the batch that is kept.
        decay: gamma, by which the part shrinks every `period` updates of G; 1 keeps all, 0 starts
            at `share`.
        period: updates of G, the paper's epoch.
    """

    sides = ("generator",)
    schedulable = ("share",)

    count: Tensor

    def __init__(self, share: float = 0.5, decay: float = 0.99, period: int = 1000) -> None:
        super().__init__()
        at_least(1, "regularizer top_k: ", period=period)
        if not 0 < share <= 1:
            raise ZooError(f"regularizer top_k: share={share} must be above 0 and at most 1.")
        if not 0 <= decay <= 1:
            raise ZooError(f"regularizer top_k: decay={decay} must be from 0 to 1.")
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
        self.count += 1
        ranks = scores.argsort(descending=True).argsort()
        return (ranks < k).to(scores.dtype) * n / k
