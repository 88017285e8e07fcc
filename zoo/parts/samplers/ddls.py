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
    """Discriminator driven latent sampling (DDLS): Langevin dynamics of latents under prior and D.

    Paper: Che et al. (2020), arXiv:2003.06060.

    The energy is E(z) = -log p(z) - s(G(z)), where s = log p_data / p_G according to D and p is the
    prior: z <- z - rate/2 grad E(z) + sqrt(rate) noise n, n ~ N(0, I). The resulting images follow
    the data's distribution if D is right and G covers all of it.

    Args:
        rate: size of a step; the discretisation error grows with it.
        steps: number of steps.
        noise: standard deviation of n; 0 climbs to the nearest mode instead.
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
            raise ZooError(
                "sampler ddls needs the prior's density, but this generator draws its own latents."
            )
        for _ in range(self.steps):
            uphill = scene.latent.slope(z) + scene.gradient(z, y)
            z = z + self.rate / 2 * uphill
            if self.noise:
                size = math.sqrt(self.rate) * self.noise
                z = z + size * torch.randn(z.shape, generator=scene.random)
        return z
