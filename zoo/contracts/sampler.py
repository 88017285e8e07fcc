"""What chooses latents by D's word, after training."""

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
    """A trained pair of networks as a sampler sees it; everything it draws comes from one seed.

    Attributes:
        draw: latents (n, dim) of the prior, on the CPU.
        images: (N, C, H, W) of latents and labels on the networks' device.
        score: log p_data / p_G of images under labels, (N,), up to a constant, as D's loss has it;
            D's score itself where the loss gives no ratio.
        reals: held-out real images and their labels (None without classes); loads data, and
            raises a `ZooError` where they are not here.
        random: the stream of random numbers, on the CPU.
        latent: the prior; None where the generator draws by itself.
        num_classes: 0 for none.
        batch_size: images made at a time.
        device: of the networks.
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
        """(n,) float64 in [0, 1)."""
        return torch.rand(n, generator=self.random, dtype=torch.float64)

    def scores(self, z: Tensor, y: Tensor | None) -> Tensor:
        """`score` of the images of latents, (N,) float64 on the CPU, batch by batch."""
        return self.each(lambda a, b: self.score(self.images(a, b), b), z, y)

    @torch.no_grad()
    def each(
        self, work: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, y: Tensor | None
    ) -> Tensor:
        """What `work` gives of latents or images (N, ...) and labels, batch by batch: float64."""
        found: list[Tensor] = []
        for i in range(0, len(x), self.batch_size):
            labels = None if y is None else y[i : i + self.batch_size].to(self.device)
            with forked_random():
                torch.manual_seed(i)  # networks with noise inside
                value = work(x[i : i + self.batch_size].to(self.device), labels)
            found.append(value.detach().double().cpu())
        return torch.cat(found)

    def gradient(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The gradient of `score` with respect to the latents, as `z` on the CPU."""

        def slope(a: Tensor, b: Tensor | None) -> Tensor:
            with torch.enable_grad():
                a = a.detach().requires_grad_()
                return torch.autograd.grad(self.score(self.images(a, b), b).sum(), a)[0]

        return self.each(slope, z, y).to(z)


class Sampler(ABC):
    """Brings generated images nearer to the data by D's word, without training anything.

    Attributes:
        calibrates: it learns from real images what D's scores mean, so that any loss will do.
    """

    calibrates: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, scene: Scene, z: Tensor, y: Tensor | None) -> Tensor:
        """Latents (N, dim) in place of `z`, which were drawn from the prior, for labels (N,)."""
