"""The moving average of the generator's weights."""

from __future__ import annotations

import copy
from typing import Annotated

import torch
from torch import Tensor, nn

from zoo.core import torch_internals
from zoo.core.errors import ZooError, above, at_least, below
from zoo.layers.spectral_norm import SpectralNorm
from zoo.layers.weights import DerivedWeight
from zoo.registry.signature import held_to_signature

_AVERAGED_BUFFERS = ("running_mean", "running_var")
_Place = tuple[nn.Module, nn.Module, str]


@held_to_signature("ema: ")
class EMA:
    """A copy of a generator whose weights are a moving average of the trained weights.

    Parameters and the running statistics of batch norm are averaged. The vectors u and v of
    spectral norm belong to one particular weight, so that averaging them is meaningless; in the
    zoo's layers they follow the averaged weight by one power iteration per update. All other
    buffers are copied.

    The decay per update is beta = 0.5^(images per update / half-life), as in Karras et al. (2018),
    arXiv:1710.10196, so that the average does not depend on the batch size. While the half-life
    exceeds `rampup` times the images seen, that product is used instead, so that the random initial
    weights are soon forgotten.

    With `equal` the average is the plain mean of the weights after each update from `start` on: the
    n-th of these updates moves it by 1/n (SWA: Izmailov et al., 2018, arXiv:1803.05407; for
    generators: Yazıcı et al., 2019, arXiv:1806.04498).

    Args:
        generator: The network that is trained; `module` starts as a copy of it.
        half_life: The half-life in real images. It may be None if `beta` or `equal` is given.
        rampup: The largest half-life as a share of the images seen so far; None for no ramp-up.
        beta: A fixed decay per update (0.999 or 0.9999 in many papers), which replaces `half_life`
            and `rampup`; None to use these.
        start: The number of real images up to which the average is a copy, as in BigGAN.
        equal: Whether to give equal weight to all updates from `start` on; `half_life`, `rampup`
            and `beta` are then ignored.

    Attributes:
        module: The averaged network, in eval mode and without gradients.
        averaged: The number of updates averaged so far, which checkpoints store.

    Raises:
        ZooError: A value is out of range, or `half_life`, `beta` and `equal` are all missing.
    """

    def __init__(
        self,
        generator: nn.Module,
        *,
        half_life: Annotated[float, above(0)] | None = 10_000.0,
        rampup: Annotated[float, above(0)] | None = 0.05,
        beta: Annotated[float, at_least(0), below(1)] | None = None,
        start: Annotated[int, at_least(0)] = 0,
        equal: bool = False,
    ) -> None:
        if half_life is None and beta is None and not equal:
            raise ZooError("ema: an average needs half_life, beta, or equal=True for a plain mean.")
        self.half_life = half_life
        self.rampup = rampup
        self.beta = beta
        self.start = start
        self.equal = equal
        self.module = copy.deepcopy(generator).eval().requires_grad_(False)
        self.averaged = 0
        self._weight: float | Tensor = 1.0
        self._averages: list[Tensor] = list(self.module.parameters())
        self._normalised: list[tuple[SpectralNorm, DerivedWeight]] = [
            (layer.spectral_norm, layer)
            for layer in self.module.modules()
            if isinstance(layer, DerivedWeight) and layer.spectral_norm is not None
        ]
        self.bind(generator)

    def bind(self, generator: nn.Module) -> None:
        """Average the weights of `generator` from now on.

        Call this again after modules of the generator have been replaced: under
        `trainer.sync_batchnorm`, Lightning replaces the batch norms of both networks.
        """
        self._sources: list[Tensor] = list(generator.parameters())
        # Modules and names, not tensors, since moving a module to a device replaces its buffers.
        self._averaged_buffers: list[_Place] = []
        self._copied_buffers: list[_Place] = []
        for average, source in zip(self.module.modules(), generator.modules(), strict=True):
            if isinstance(source, SpectralNorm):
                continue
            for name, buffer in source._buffers.items():
                if buffer is not None:
                    averaged = name in _AVERAGED_BUFFERS
                    kind = self._averaged_buffers if averaged else self._copied_buffers
                    kind.append((average, source, name))

    def decay(self, batch_size: int, images_seen: int) -> float:
        """Return the decay of the next update.

        Args:
            batch_size: The number of real images per update of the generator.
            images_seen: The number of real images before this update.
        """
        if images_seen < self.start:
            return 0.0
        if self.equal:
            return self.averaged / (self.averaged + 1)
        if self.beta is not None:
            return self.beta
        assert self.half_life is not None
        half_life = self.half_life
        if self.rampup is not None:
            half_life = min(half_life, images_seen * self.rampup)
        return 0.5 ** (batch_size / half_life) if half_life > 0 else 0.0

    def set_half_life(self, half_life: float) -> None:
        """Change the half-life during training; with 0, each update copies the weights."""
        self.half_life = half_life

    def prepare(self, batch_size: int, images_seen: int) -> None:
        """Set the decay of the next `apply`, without synchronizing with the device."""
        weight = 1 - self.decay(batch_size, images_seen)
        self.averaged += images_seen >= self.start
        if isinstance(self._weight, Tensor):
            self._weight.fill_(weight)
        else:
            self._weight = weight

    @torch.no_grad()
    def apply(self) -> None:
        """Update the average once, with the decay set by `prepare`."""
        averages, sources = _buffers(self._averaged_buffers)
        averages, sources = self._averages + averages, self._sources + sources
        if isinstance(self._weight, Tensor):
            difference = torch_internals.sub(sources, averages)
            torch_internals.mul_(difference, self._weight)
            torch_internals.add_(averages, difference)
        else:
            torch_internals.lerp_(averages, sources, self._weight)
        copies, originals = _buffers(self._copied_buffers)
        if copies:
            torch_internals.copy_(copies, originals)
        for norm, layer in self._normalised:
            norm.follow(layer.weight)

    def update(self, batch_size: int, images_seen: int) -> None:
        """Update the average once: `prepare`, then `apply`.

        Args:
            batch_size: The number of real images per update of the generator, over all processes.
            images_seen: The number of real images before this update, over all processes.
        """
        self.prepare(batch_size, images_seen)
        self.apply()

    def make_capturable(self) -> None:
        """Keep the decay in a tensor, which a CUDA graph reads again in every replay."""
        if not isinstance(self._weight, Tensor):
            self._weight = torch.tensor(self._weight, device=self._averages[0].device)


def _buffers(places: list[_Place]) -> tuple[list[Tensor], list[Tensor]]:
    """Return the buffers of the average and of the generator at these places."""
    pairs = [(a._buffers[name], s._buffers[name]) for a, s, name in places]
    return [a for a, _ in pairs if a is not None], [s for _, s in pairs if s is not None]
