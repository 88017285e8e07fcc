"""Latent consistency regularization."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.latent import Latent, without_codes
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.registry import above, at_least, regularizer


@regularizer("zcr")
class ZCR(Regularizer):
    """Latent consistency (zCR): nearby latents give different images, which D scores alike.

    Paper: Zhao et al. (2021), arXiv:2002.04724.

    D: + discriminator * E[(D(G(z)) - D(G(z + sigma n)))^2];
    G: - generator * E[(G(z) - G(z + sigma n))^2], the mean over all values, with n ~ N(0, I).
    G's term is unbounded below, hence its small weight. The defaults are those for SNGAN; for
    BigGAN the paper uses sigma 0.05 and discriminator 20. Codes (`model/latent=codes`) are left
    unchanged.

    Here n is normal for every prior, where StudioGAN uses uniform noise with uniform latents. A
    generator's own noise and style mixing are redrawn for z + sigma n, so the two images differ by
    them too.

    Args:
        discriminator, generator: lambda, the weight of each side's term.
        sigma: size of the step between the latents.
        every: apply the terms to every k-th update, with k times the weight.
    """

    sides = ("discriminator", "generator")
    schedulable = ("discriminator", "generator", "sigma")

    def __init__(
        self,
        discriminator: Annotated[float, at_least(0)] = 5.0,
        generator: Annotated[float, at_least(0)] = 0.5,
        sigma: Annotated[float, above(0)] = 0.03,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.discriminator = discriminator
        self.generator = generator
        self.sigma = sigma
        self._latent: Latent | None = None

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        self._latent = generator.latent

    def forward(self, update: Update) -> Tensor:
        images, z, _, labels = update.generated
        near = z.detach() + without_codes(self.sigma * torch.randn_like(z), self._latent)
        if update.side == "generator":
            other = update.generator(near, labels)
            return -self.generator * (widen(images) - widen(other)).square().mean()
        with torch.no_grad():
            other = update.generator(near, labels)
        scores = update.discriminate(other, labels).scores
        return self.discriminator * (update.fake_output.scores - scores).square().mean()
