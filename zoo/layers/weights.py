"""Layers that use a function of their weight, and the reuse of its value within an update."""

from __future__ import annotations

from types import TracebackType

import torch
from torch import Tensor, nn

from zoo.layers.spectral_norm import SpectralNorm


class DerivedWeight(nn.Module):
    """Mixin of layers that use a function of `weight` (spectral norm, folding) instead of `weight`.

    A layer calls `initialise` at the end of its `__init__` and `effective_weight()` in its forward
    pass. Layers that transform their weight further extend `derive`.
    """

    weight: Tensor
    spectral_norm: SpectralNorm | None
    _shared = False
    _cache: Tensor | None = None

    def initialise(self, gain: float, spectral_norm: bool) -> None:
        """Draw `weight` Xavier-uniformly with `gain`, zero `bias`, and start the spectral norm."""
        nn.init.xavier_uniform_(self.weight, gain)
        bias = getattr(self, "bias", None)
        if bias is not None:
            nn.init.zeros_(bias)
        self.spectral_norm = SpectralNorm(self.weight) if spectral_norm else None

    def derive(self) -> Tensor:
        """Compute the weight that the forward pass uses."""
        return self.weight if self.spectral_norm is None else self.spectral_norm(self.weight)

    def effective_weight(self) -> Tensor:
        """Return the derived weight, which is computed only once inside `cached_weights`."""
        cached = self._cache
        needs_graph = torch.is_grad_enabled() and self.weight.requires_grad
        # A value computed without a graph must not be used in a pass that needs gradients.
        if cached is not None and (cached.requires_grad or not needs_graph):
            return cached
        derived = self.derive()
        if self._shared and derived is not self.weight:
            self._cache = derived
        return derived


def spectral_layers(network: nn.Module) -> list[nn.Module]:
    """Return the layers with spectral norm, whose singular vectors change at each computation."""
    layers = [m for m in network.modules() if isinstance(m, DerivedWeight)]
    return [layer for layer in layers if layer.spectral_norm is not None]


class cached_weights:
    """Context in which each derived weight of `modules` is computed once and then reused.

    It is meant for one update of a network: its passes (real, fake, penalty) share one power
    iteration, one sigma and one folded kernel, where their gradients are summed before they reach
    the parameter. Changes of the weights are not noticed, so leave the context before the
    optimizer's step, or enter it again after it. An instance can be entered repeatedly.

    Example:
        >>> with cached_weights(discriminator):
        ...     loss = (discriminator(fake) - discriminator(real)).mean()
        ...     loss.backward()
    """

    def __init__(self, *modules: nn.Module) -> None:
        self.layers = [
            layer
            for root in modules
            for layer in root.modules()
            if isinstance(layer, DerivedWeight)
        ]

    def __enter__(self) -> None:
        for layer in self.layers:
            layer._shared = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for layer in self.layers:
            layer._shared = False
            layer._cache = None
