"""Weight initialisations as the papers give them."""

from __future__ import annotations

from torch import nn

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
