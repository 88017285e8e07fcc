"""Folding of batch norms into convolutions, for frozen networks."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

AGREES = 1e-4
"""Largest difference, relative to the largest output, at which two networks count as equal."""


@torch.no_grad()
def without_batch_norms(network: nn.Module, images: Tensor) -> nn.Module:
    """Return a copy of a network in eval mode with its batch norms folded into the convolutions.

    In eval mode a batch norm is a multiplication and an addition per channel, which the weights and
    bias of the convolution before it can absorb. This saves reading and writing the map once more,
    in the forward and in the backward pass. A pass over `images` shows which convolution each norm
    follows. A norm that follows none is kept. If the outputs of the copy differ (for instance
    because a convolution is read by more than its norm), the network itself is returned.

    Args:
        network: a network in eval mode.
        images: example input (N, C, H, W); N = 1 is enough.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network  # do not copy and run, say, a transformer of a gigabyte
    folded = copy.deepcopy(network)
    names = {module: name for name, module in folded.named_modules()}
    for convolution, norm in _pairs(folded, images):
        dtype = convolution.weight.dtype
        fused = fuse_conv_bn_eval(convolution.double(), norm.double()).to(dtype)
        _replace(folded, names[convolution], fused)
        # timm's BatchNormAct2d includes dropout and activation, which stay.
        rest = (getattr(norm, part, None) for part in ("drop", "act"))
        kept = nn.Sequential(*(m for m in rest if isinstance(m, nn.Module)))
        _replace(folded, names[norm], kept)
    return folded if _agree(network, folded, images) else network


def _pairs(network: nn.Module, images: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each convolution whose output goes to a batch norm, with that norm."""
    # By id of the output; the tensor is kept too, so that its id is not reused.
    outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def record(module: nn.Conv2d, _: object, output: Tensor) -> None:
        outputs[id(output)] = (module, output)

    def match(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in outputs:
            pairs.append((outputs[id(inputs[0])][0], module))

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(record))
        elif isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
            hooks.append(module.register_forward_pre_hook(match))
    network(images)
    for hook in hooks:
        hook.remove()
    used = [module for pair in pairs for module in pair]
    return [pair for pair in pairs if all(used.count(module) == 1 for module in pair)]


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, module)


def _agree(network: nn.Module, folded: nn.Module, images: Tensor) -> bool:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images)
    pairs = zip(_flat(network(noise)), _flat(folded(noise)), strict=True)
    return all((a - b).abs().max() <= AGREES * a.abs().max() for a, b in pairs)


def _flat(outputs: Tensor | list[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)
