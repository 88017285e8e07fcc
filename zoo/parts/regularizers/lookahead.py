"""Lookahead optimisation for minimax games."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.regularizer import Regularizer
from zoo.core import torch_internals
from zoo.registry import above, at_least, at_most, regularizer


@regularizer("lookahead")
class Lookahead(Regularizer):
    """Lookahead: both networks regularly step back towards slow weights, which damps cycling.

    Paper: Chavdarova et al. (2021), arXiv:2006.14567.

    After every k-th update of G, in both networks at once: theta = slow + alpha (theta - slow),
    then slow = theta. The slow weights are part of the checkpoint.

    Args:
        alpha: fraction of the distance from the slow weights that is kept.
        every: k, the number of updates of G between two steps; 5 for CIFAR-10 in the paper, 5000
            for ImageNet.
    """

    sides = ("generator",)

    def __init__(
        self,
        alpha: Annotated[float, above(0), at_most(1)] = 0.5,
        every: Annotated[int, at_least(1)] = 5,
    ) -> None:
        super().__init__(every)
        self.alpha = alpha
        self._networks: tuple[nn.Module, ...] = ()

    def is_due(self, number: int) -> bool:
        return (number + 1) % self.every == 0  # the k-th update since the slow weights were set

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        self._networks = (generator, discriminator)  # a tuple, so that they are not submodules
        if not self._slow():
            for i, weight in enumerate(self._fast()):
                self.register_buffer(f"slow_{i}", weight.detach().clone())

    def begin(self) -> None:
        torch_internals.copy_(self._slow(), [weight.detach() for weight in self._fast()])

    def _fast(self) -> list[Tensor]:
        return [p for network in self._networks for p in network.parameters()]

    def _slow(self) -> list[Tensor]:
        return list(self.buffers())

    def after_update(self, network: nn.Module) -> None:
        slow, fast = self._slow(), self._fast()
        torch_internals.lerp_(slow, fast, self.alpha)
        torch_internals.copy_(fast, slow)
