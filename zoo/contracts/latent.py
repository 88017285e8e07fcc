"""The prior that latents are drawn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from zoo.core.errors import ZooError, at_least


class Code(NamedTuple):
    """A part of the latent that means something: `size` numbers from index `start` on.

    Categorical ones are one-hot; continuous ones hold one number each.
    """

    start: int
    size: int
    categorical: bool


class Latent(ABC):
    """A distribution of latents (n, dim).

    Args:
        dim: length of a latent; filled from `model.latent_dim`.

    Attributes:
        codes: the parts of the latent that a head may read back (InfoGAN); none in a plain prior.
        claims_cuda_graph: as of a `Generator`.
    """

    codes: tuple[Code, ...] = ()
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(self, dim: int) -> None:
        at_least(1, f"{type(self).__name__}: ", latent_dim=dim)
        self.dim = dim

    @abstractmethod
    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | None = None
    ) -> Tensor:
        """Draw (n, dim) float32 on `device`, from `generator`'s stream where one is given."""

    def slope(self, z: Tensor) -> Tensor:
        """The gradient of the log density at latents (n, dim).

        Raises:
            ZooError: this prior has none to climb.
        """
        raise ZooError(
            f"latents of {type(self).__name__} have no density to climb: choose another refine=…, "
            "or a model with normal latents."
        )

    def truncate(self, z: Tensor, amount: Tensor | float) -> Tensor:
        """Latents (n, dim) nearer to the middle of the prior; smaller amounts, above 0, are nearer.

        Raises:
            ZooError: this prior cannot be truncated.
        """
        raise ZooError(
            f"latents of {type(self).__name__} cannot be truncated: leave truncation out, or use "
            "a model whose latents can."
        )


def without_codes(step: Tensor, latent: Latent | None) -> Tensor:
    """A step (n, dim) of latents that leaves the codes of `latent` where they are.

    A head that reads codes back would otherwise be told of values that none of them has.
    """
    codes = () if latent is None else latent.codes
    if codes:
        step = step.clone()
    for code in codes:
        step[:, code.start : code.start + code.size] = 0
    return step
