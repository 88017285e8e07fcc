"""Weight initialisations as the papers give them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from zoo.layers.spectral_norm import SpectralNorm
from zoo.layers.weights import DerivedWeight

Init = Literal["orthogonal", "xavier", "normal"]
CONVS = (nn.Conv2d, nn.ConvTranspose2d)


def dcgan_init(module: nn.Module) -> None:
    """N(0, 0.02) for conv and linear weights, N(1, 0.02) for norms, 0 for biases; for `apply`.

    Embeddings keep what their head gave them. Paper: Radford et al. (2015), arXiv:1511.06434.
    """
    if isinstance(module, (*CONVS, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def orthogonal_init(module: nn.Module, gain: float) -> None:
    """Orthogonal weights times `gain` in convolutions and linear layers, 0 for biases."""
    for layer in module.modules():
        if isinstance(layer, (*CONVS, nn.Linear)):
            nn.init.orthogonal_(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise(network: nn.Module, init: Init) -> None:
    """Draw the weights of the zoo's own layers anew, and start their spectral norms from them.

    Other layers (a head's own) keep theirs, and all biases stay 0.

    Args:
        network: its layers of `zoo.layers.linear` are drawn.
        init: `orthogonal`, `normal` for N(0, 0.02), or `xavier` for what they already have.
    """
    if init == "xavier":
        return
    redraw(network, nn.init.orthogonal_ if init == "orthogonal" else _normal)


def _normal(weight: Tensor) -> None:
    nn.init.normal_(weight, 0.0, 0.02)


def redraw(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Draw the weights of the zoo's layers anew by `draw`, in place, and restart their SN."""
    for layer in network.modules():
        if isinstance(layer, DerivedWeight):
            draw(layer.weight)
            if layer.spectral_norm is not None:
                layer.spectral_norm = SpectralNorm(layer.weight)
