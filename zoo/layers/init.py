"""Weight initialisations used by the papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from zoo.layers.spectral_norm import SpectralNorm
from zoo.layers.weights import DerivedWeight

Init = Literal["orthogonal", "xavier", "normal"]
CONVS = (nn.Conv2d, nn.ConvTranspose2d)


def dcgan_init(module: nn.Module) -> None:
    """Initialise a module as in DCGAN; for use with `nn.Module.apply`.

    Weights of convolutions and linear layers are drawn from N(0, 0.02), those of norms from N(1,
    0.02), and biases are 0. Embeddings keep the weights that their head gave them.

    Paper: Radford et al. (2015), arXiv:1511.06434.
    """
    if isinstance(module, (*CONVS, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)) and module.affine:
        nn.init.normal_(module.weight, 1.0, 0.02)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)


@torch.no_grad()
def orthogonal(weight: Tensor, gain: float = 1.0) -> None:
    """Redraw a weight as a random orthogonal matrix times `gain`, as `nn.init.orthogonal_` does.

    The random numbers are factorized in float64. In float32, LAPACK's results differ between
    processors, and with them the losses of a training from the same seed.
    """
    rows = len(weight)
    drawn = torch.empty(rows, weight.numel() // rows, dtype=weight.dtype, device=weight.device)
    drawn = drawn.normal_().double()
    wide = rows < drawn.shape[1]
    q, r = torch.linalg.qr(drawn.t() if wide else drawn)
    q = q * r.diagonal().sign()
    weight.copy_((gain * (q.t() if wide else q)).reshape(weight.shape))


def orthogonal_init(module: nn.Module, gain: float) -> None:
    """Initialise convolutions and linear layers orthogonally, times `gain`, with zero biases."""
    for layer in module.modules():
        if isinstance(layer, (*CONVS, nn.Linear)):
            orthogonal(layer.weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise(network: nn.Module, init: Init) -> None:
    """Redraw the weights of the zoo's own layers, and restart their spectral norms.

    Other layers, such as those of a head, keep their weights, and all biases stay 0.

    Args:
        network: the network whose layers from `zoo.layers.linear` are redrawn.
        init: `orthogonal`, `normal` for N(0, 0.02), or `xavier` to keep the weights as they are.
    """
    if init == "xavier":
        return
    redraw(network, orthogonal if init == "orthogonal" else _normal)


def _normal(weight: Tensor) -> None:
    nn.init.normal_(weight, 0.0, 0.02)


def redraw(network: nn.Module, draw: Callable[[Tensor], object]) -> None:
    """Redraw the weights of the zoo's layers by `draw`, in place, and restart spectral norms."""
    for layer in network.modules():
        if isinstance(layer, DerivedWeight):
            draw(layer.weight)
            if layer.spectral_norm is not None:
                layer.spectral_norm = SpectralNorm(layer.weight)
