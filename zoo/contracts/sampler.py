"""The base class of samplers, which refine latents with D's scores after training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from zoo.contracts.latent import Latent
from zoo.core.random import forked_random


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A trained generator and discriminator as a sampler sees them.

    All random numbers come from one seed.

    Attributes:
        draw: `draw(n)` returns latents (n, dim) from the prior, on the CPU.
        images: `images(z, y)` returns the images (N, C, H, W) of latents and labels that are on
            the networks' device.
        score: `score(images, y)` returns an estimate (N,) of log(p_data / p_G), up to a constant,
            for images given labels; D's score itself if its loss determines no density ratio.
        reals: `reals()` loads and returns held-out real images and their labels (None without
            classes). It raises a `ZooError` if the data set is not available.
        random: The random number generator, on the CPU.
        latent: The prior; None if the generator draws its latents itself.
        num_classes: The number of classes; 0 for none.
        batch_size: How many images are made at a time.
        device: The device of the networks.
    """

    draw: Callable[[int], Tensor]
    images: Callable[[Tensor, Tensor | None], Tensor]
    score: Callable[[Tensor, Tensor | None], Tensor]
    reals: Callable[[], tuple[Tensor, Tensor | None]]
    random: torch.Generator
    latent: Latent | None
    num_classes: int
    batch_size: int = 64
    device: torch.device | str = "cpu"

    def uniform(self, n: int) -> Tensor:
        """Draw uniform random numbers in [0, 1): (n,), float64."""
        return torch.rand(n, generator=self.random, dtype=torch.float64)

    def scores(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Score the images of latents in batches: (N,), float64, on the CPU."""
        return self.each(lambda a, b: self.score(self.images(a, b), b), z, y)

    @torch.no_grad()
    def each(
        self, work: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, y: Tensor | None
    ) -> Tensor:
        """Apply `work` to latents or images (N, ...) and labels (N,) in batches.

        Returns:
            The concatenated results, float64, on the CPU.
        """
        results: list[Tensor] = []
        for i in range(0, len(x), self.batch_size):
            labels = None if y is None else y[i : i + self.batch_size].to(self.device)
            with forked_random():
                torch.manual_seed(i)  # for networks that draw noise in their forward pass
                value = work(x[i : i + self.batch_size].to(self.device), labels)
            results.append(value.detach().double().cpu())
        return torch.cat(results)

    def gradient(self, z: Tensor, y: Tensor | None) -> Tensor:
        """Return the gradient of `score` with respect to the latents, shaped and typed like `z`."""

        def slope(a: Tensor, b: Tensor | None) -> Tensor:
            with torch.enable_grad():
                a = a.detach().requires_grad_()
                return torch.autograd.grad(self.score(self.images(a, b), b).sum(), a)[0]

        return self.each(slope, z, y).to(z)


class Sampler(ABC):
    """Brings generated images closer to the data by means of D's scores, without further training.

    Attributes:
        calibrates: Whether it calibrates D's scores on real images, so that it works with a
            discriminator that was trained under any loss.
    """

    calibrates: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, scene: Scene, z: Tensor, y: Tensor | None) -> Tensor:
        """Return latents (N, dim) to use in place of `z`.

        Args:
            scene: The trained networks.
            z: Latents (N, dim) drawn from the prior.
            y: Labels (N,), or None without classes.
        """
