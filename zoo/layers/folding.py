"""Frozen networks without their batch norms."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

AGREES = 1e-4
"""Largest difference of outputs, relative to the largest output, at which two networks are one."""


@torch.no_grad()
def without_batch_norms(network: nn.Module, images: Tensor) -> nn.Module:
    """A copy of a network in eval mode whose batch norms are part of the convolutions before them.

    In eval mode a batch norm is a product and a sum for each channel, which weights and bias of the
    convolution can hold: it reads and writes no map of its own any more, neither forward nor back.
    Which convolution a norm follows is seen in a pass over `images`. A norm that follows none
    stays, and the network itself comes back where the copy says otherwise than it (a convolution
    that is read by more than its norm).

    Args:
        network: in eval mode.
        images: (N, C, H, W) that it takes; N = 1 will do.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network  # a transformer of a gigabyte is neither copied nor run
    folded = copy.deepcopy(network)
    names = {module: name for name, module in folded.named_modules()}
    for convolution, norm in _pairs(folded, images):
        dtype = convolution.weight.dtype
        fused = fuse_conv_bn_eval(convolution.double(), norm.double()).to(dtype)
        _put(folded, names[convolution], fused)
        rest = (getattr(norm, part, None) for part in ("drop", "act"))  # of timm's BatchNormAct2d
        _put(folded, names[norm], nn.Sequential(*(m for m in rest if isinstance(m, nn.Module))))
    return folded if _agree(network, folded, images) else network


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions, each with the batch norm that takes what it gives."""
    made: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # with the tensor, so that its id stays its own
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def keep(module: nn.Conv2d, _: object, output: Tensor) -> None:
        made[id(output)] = (module, output)

    def look(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(keep))
        elif isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            hooks.append(module.register_forward_pre_hook(look))
    network(images)
    for hook in hooks:
        hook.remove()
    used = [module for pair in pairs for module in pair]
    return [pair for pair in pairs if all(used.count(module) == 1 for module in pair)]


def _put(network: nn.Module, name: str, module: nn.Module) -> None:
    place, _, last = name.rpartition(".")
    setattr(network.get_submodule(place), last, module)


def _agree(network: nn.Module, folded: nn.Module, images: Tensor) -> bool:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images)
    pairs = zip(_flat(network(noise)), _flat(folded(noise)), strict=True)
    return all((a - b).abs().max() <= AGREES * a.abs().max() for a, b in pairs)


def _flat(outputs: Tensor | list[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
