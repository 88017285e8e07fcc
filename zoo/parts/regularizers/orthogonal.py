"""Orthogonal regularization."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.contracts.outputs import Side
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.layers.precision import full_precision
from zoo.registry import at_least, regularizer

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@regularizer("orthogonal")
class Orthogonal(Regularizer):
    """Orthogonal regularization (BigGAN): decorrelates a layer's filters, leaving their norms free.

    Paper: Brock et al. (2019), arXiv:1809.11096, equation 3.

    weight * sum over layers of |W W^T * (1 - I)|_F^2, with W reshaped to (outputs, -1); in fp32.
    Embeddings are left out. BigGAN's code adds half of this gradient at strength 1e-4, so 5e-5 here
    corresponds to its 1e-4.

    Args:
        weight: lambda, the weight of the penalty.
        network: the network whose weights are regularized.
        every: apply the penalty to every k-th update, with k times the weight.
    """

    schedulable = ("weight",)

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 5e-5,
        network: Literal["both", "generator", "discriminator"] = "generator",
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.weight = weight
        chosen = get_args(Side) if network == "both" else (network,)
        self.sides = chosen  # type: ignore[misc]  # per instance, not per class

    def forward(self, update: Update) -> Tensor:
        network = update.generator if update.side == "generator" else update.discriminator
        terms = [_overlap(m, w) for m, w in _weights(network)]
        return self.weight * torch.stack(terms).sum()


def _weights(network: nn.Module) -> list[tuple[nn.Module, Tensor]]:
    """Return the layers that have a weight matrix or kernel, with it; embeddings are left out."""
    layers: list[tuple[nn.Module, Tensor]] = []
    for module in network.modules():
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        if weight is not None and weight.dim() > 1 and not isinstance(module, nn.Embedding):
            layers.append((module, weight))
    return layers


def _overlap(module: nn.Module, weight: Tensor) -> Tensor:
    """Return |W W^T * (1 - I)|_F^2 for the weight W of a layer."""
    if isinstance(module, _TRANSPOSED):
        weight = weight.transpose(0, 1)
    with full_precision(weight.device):
        matrix = widen(weight).flatten(1)
        products = matrix @ matrix.T
        return (products - products.diag().diag()).square().sum()
