"""Discriminator driven latent sampling."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.sampler import Sampler, Scene
from zoo.core.errors import ZooError
from zoo.registry import above, at_least, sampler


@sampler("ddls")
class DDLS(Sampler):
    """Discriminator driven latent sampling: latents walk to where prior and D agree.

    Paper: Che et al. (2020), arXiv:2003.06060.

    Langevin dynamics in the energy E(z) = -log p(z) - s(G(z)) with s = log p_data / p_G by D and p
    the prior: z <- z - rate/2 grad E(z) + sqrt(rate) noise n, n ~ N(0, I). Its images have the
    data's distribution where D is right and G reaches all of it.

    Args:
        rate: of a step; the error that remains grows with it.
        steps: of the walk.
        noise: standard deviation of n; 0 climbs to the nearest peak.
    """

    def __init__(
        self,
        rate: Annotated[float, above(0)] = 0.01,
        steps: Annotated[int, at_least(1)] = 1000,
        noise: Annotated[float, at_least(0)] = 1.0,
    ) -> None:
        self.rate = rate
        self.steps = steps
        self.noise = noise

    def __call__(self, scene: Scene, z: Tensor, y: Tensor | None) -> Tensor:
        if scene.latent is None:
            raise ZooError("sampler ddls needs a prior of latents, and this generator has its own.")
        for _ in range(self.steps):
            uphill = scene.latent.slope(z) + scene.gradient(z, y)
            z = z + self.rate / 2 * uphill
            if self.noise:
                size = math.sqrt(self.rate) * self.noise
                z = z + size * torch.randn(z.shape, generator=scene.random)
        return z
