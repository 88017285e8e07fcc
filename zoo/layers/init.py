"""Weight initialisations as the papers give them."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from zoo.layers.spectral_norm import SpectralNorm
from zoo.layers.weights import DerivedWeight

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


def redraw(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Draw the weights of the zoo's layers anew by `draw`, in place, and restart their SN."""
    for layer in network.modules():
        if isinstance(layer, DerivedWeight):
            draw(layer.weight)
            if layer.spectral_norm is not None:
                layer.spectral_norm = SpectralNorm(layer.weight)
