"""The latent optimisation of LOGAN."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.latent import Latent, without_codes
from zoo.contracts.regularizer import Pass, Regularizer
from zoo.contracts.update import Update, image_scores, widen
from zoo.layers.precision import full_precision
from zoo.registry import above, at_least, at_most, regularizer


@regularizer("logan")
class LOGAN(Regularizer):
    """Latent optimisation: a natural-gradient step of the latents towards higher scores.

    Paper: Wu et al. (2019), arXiv:1912.00953.

    z' = clip(z + alpha g / (beta + |g|^2)), g = grad_z D(G(z)), before both updates. Both losses
    use G(z'), and cost * E|z' - z|^2 is added to G's loss. G also learns through the step itself,
    to second order; D is frozen during the step and does not. The paper's prior is uniform on (-1,
    1), with a clip of 1. The cost covers the update's own images only, not those that other
    regularizers generate (mode seeking, path length). Codes (`model/latent=codes`) are left
    unchanged.

    Args:
        alpha: size of the step.
        beta: damping.
        share: fraction of each latent's values that move, redrawn each time.
        cost: weight of the squared step, measured before clipping.
        clip: bound to which latents are clipped, for a uniform prior; null for a normal one.
    """

    sides = ("discriminator", "generator")
    per_sample = True
    schedulable = ("alpha", "beta", "cost")

    def __init__(
        self,
        alpha: Annotated[float, at_least(0)] = 0.9,
        beta: Annotated[float, above(0)] = 5.0,
        share: Annotated[float, above(0), at_most(1)] = 0.8,
        cost: Annotated[float, at_least(0)] = 300.0,
        clip: Annotated[float, above(0)] | None = None,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        self.beta = beta
        self.share = share
        self.cost = cost
        self.clip = clip
        self._latent: Latent | None = None
        self._steps: list[tuple[Tensor, Tensor]] = []  # moved latents, each with its step

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        self._latent = generator.latent

    def latents(self, z: Tensor, labels: Tensor | None, score: Pass) -> Tensor:
        second_order = torch.is_grad_enabled()
        with torch.enable_grad(), full_precision(z.device):
            start = z.detach().requires_grad_()
            scores = image_scores(widen(score(start, labels).scores))
            (gradient,) = torch.autograd.grad(scores.sum(), start, create_graph=second_order)
        step = self.alpha * gradient / (self.beta + gradient.square().sum(1, keepdim=True))
        if self.share < 1:
            step = step * (torch.rand_like(z) < self.share)
        step = without_codes(step, self._latent)
        moved = z + step
        if self.clip is not None:
            moved = moved.clamp(-self.clip, self.clip)
        if second_order:
            self._steps.append((moved, step))
        return moved

    def forward(self, update: Update) -> Tensor | None:
        steps, self._steps = self._steps, []
        for moved, step in steps:
            if moved is update.generated.z:
                return self.cost * step.square().sum(1).mean()
        return None

    def after_update(self, network: nn.Module) -> None:
        self._steps = []  # frees the graphs of images that other regularizers generated
