"""Moving average of the generator's weights."""

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
    """A copy of a generator whose weights are the moving average of the trained ones.

    Parameters and the running statistics of batch norm are averaged. The u and v of spectral norm
    belong to one weight and mean nothing when averaged: those of the zoo's layers follow the
    averaged weight by a power iteration per update. Every other buffer is copied.

    The decay is beta = 0.5^(images per update / half-life), as in Karras et al. (2018),
    arXiv:1710.10196, so that it does not depend on the batch size. While the half-life is longer
    than `rampup` times the images seen, it is shortened to that, so that the random weights of the
    start are soon forgotten.

    With `equal` it is the plain mean of the weights after every update from `start` on, of which
    the n-th moves it by 1/n (SWA: Izmailov et al., 2018, arXiv:1803.05407; of generators: Yazıcı et
    al., 2019, arXiv:1806.04498).

    Args:
        generator: the network that is trained; `module` starts as a copy of it.
        half_life: in real images; None only beside `beta`.
        rampup: the half-life may be at most this share of the images seen; None for no ramp-up.
        beta: a fixed decay per update instead (0.999 or 0.9999 in many papers); `half_life` and
            `rampup` are then not used.
        start: real images before which the average is a copy, as in BigGAN.
        equal: all weights from `start` on count alike, so that nothing else but `start` is used.

    Attributes:
        module: the averaged network, in eval mode and without gradients.
        averaged: updates that the average is of; a checkpoint keeps it.

    Raises:
        ZooError: a value out of range, or neither `half_life` nor `beta`.
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
            raise ZooError("ema: an average needs half_life or beta.")
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
        """Average this generator from now on, some of whose modules others may have replaced.

        Lightning does so with batch norm, of the average too, under `trainer.sync_batchnorm`.
        """
        self._sources: list[Tensor] = list(generator.parameters())
        # Modules and names rather than tensors: moving a module to a device replaces its buffers.
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
        """Beta of the update that follows `images_seen` real images, `batch_size` per update."""
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
        """Change the half-life in training; 0 copies the weights."""
        self.half_life = half_life

    def prepare(self, batch_size: int, images_seen: int) -> None:
        """Set the decay of the next `apply`, from host integers, without a synchronisation."""
        weight = 1 - self.decay(batch_size, images_seen)
        self.averaged += images_seen >= self.start
        if isinstance(self._weight, Tensor):
            self._weight.fill_(weight)
        else:
            self._weight = weight

    @torch.no_grad()
    def apply(self) -> None:
        """Average once, with the decay set by `prepare`."""
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
        """`prepare` and `apply`.

        Args:
            batch_size: real images per update of the generator, over all processes.
            images_seen: real images before this update, over all processes.
        """
        self.prepare(batch_size, images_seen)
        self.apply()

    def make_capturable(self) -> None:
        """Hold the decay in a tensor, so that a CUDA graph reads it anew at every replay."""
        if not isinstance(self._weight, Tensor):
            self._weight = torch.tensor(self._weight, device=self._averages[0].device)


def _buffers(places: list[_Place]) -> tuple[list[Tensor], list[Tensor]]:
    """The buffers of the average and of the generator at these places."""
    pairs = [(a._buffers[name], s._buffers[name]) for a, s, name in places]
    return [a for a, _ in pairs if a is not None], [s for _, s in pairs if s is not None]
