"""The base class of priors: the distributions that latents are drawn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoo.core.errors import ZooError, at_least
from zoo.registry import name_of


class Code(NamedTuple):
    """An interpretable part of a latent vector, which a head may recover from the image (InfoGAN).

    Attributes:
        start: The index of its first number in the latent.
        size: How many numbers it takes: the number of categories, or 1 for a continuous code.
        categorical: Whether the numbers are a one-hot vector rather than a continuous value.
    """

    start: int
    size: int
    categorical: bool


class Latent(ABC):
    """A distribution over latents (n, dim).

    Args:
        dim: The length of a latent; taken from `model.latent_dim`.

    Attributes:
        codes: The interpretable parts of a latent (InfoGAN); empty for a plain prior.
        claims_cuda_graph: See `Generator`.
    """

    codes: tuple[Code, ...] = ()
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(self, dim: int) -> None:
        at_least(1, f"latent {name_of(self)}: ", latent_dim=dim)
        self.dim = dim

    @abstractmethod
    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | None = None
    ) -> Tensor:
        """Draw `n` latents (n, dim), float32.

        Args:
            n: The number of latents.
            generator: The random number generator to draw from; None for the device's default.
            device: Where to create the latents; None for torch's default device.
        """

    def slope(self, z: Tensor) -> Tensor:
        """Return the gradient (n, dim) of the log density at latents (n, dim).

        Raises:
            ZooError: The log density of this prior has no gradient.
        """
        raise ZooError(
            f"the log density of {name_of(self)} latents has no gradient to follow: choose "
            "another refine=…, or a model with normal latents."
        )

    def truncate(self, z: Tensor, amount: Tensor | float) -> Tensor:
        """Return latents (n, dim) closer to the center of the prior.

        Args:
            z: Latents (n, dim) drawn from the prior.
            amount: Above 0; the smaller, the closer to the center.

        Raises:
            ZooError: This prior cannot be truncated.
        """
        raise ZooError(
            f"latents of {name_of(self)} cannot be truncated: leave truncation out, or use "
            "a model with another prior."
        )


def without_codes(step: Tensor, latent: Latent | None) -> Tensor:
    """Return a step (n, dim) in latent space with zeros at the codes of `latent`.

    A step must not move the codes: a head that recovers them would be trained on values that the
    prior never draws.
    """
    codes = () if latent is None else latent.codes
    if codes:
        step = step.clone()
    for code in codes:
        step[:, code.start : code.start + code.size] = 0
    return step
