"""Frozen networks without their batch norms say what they said."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from zoo.layers.folding import without_batch_norms
from zoo.layers.pretrained import frozen_pyramid


def norms(network: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())


def used(network: nn.Module) -> nn.Module:
    """The network with statistics and weights of batch norms as after a training."""
    random = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(generator=random)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 2.0, generator=random)
    return network.eval()


class Twice(nn.Module):
    """A convolution that is read behind its norm, and without it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return h + self.norm(h)


@pytest.mark.parametrize(
    ("network", "left"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()), 0),
        (nn.Sequential(nn.Conv2d(3, 4, 3, groups=1), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)), 0),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3)), 1),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.BatchNorm2d(3)), 1),
        (Twice(), 1),
        (nn.Sequential(*[nn.Conv2d(3, 3, 1)] * 2, nn.BatchNorm2d(3)), 1),  # one layer, used twice
        (timm.create_model("test_efficientnet", pretrained=False), 0),
        (timm.create_model("test_byobnet", pretrained=False), 0),
        (timm.create_model("resnetv2_18d", pretrained=False), 9),
    ],
    ids=["conv", "bias", "before", "between", "read twice", "used twice", "lite", "byob", "pre"],
)  # fmt: skip
def test_a_folded_network_says_the_same(network, left):
    network = used(network.double())
    before = norms(network)
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    folded = without_batch_norms(network, images[:1])
    assert norms(folded) == left
    assert norms(network) == before  # it is left as it was
    torch.testing.assert_close(folded(images), network(images), rtol=1e-9, atol=1e-9)
    slopes = []
    for made in (network, folded):
        x = images.clone().requires_grad_()
        slopes.append(torch.autograd.grad(made(x).square().sum(), x)[0])
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-9, atol=1e-7)


def test_the_hash_of_frozen_weights_is_that_of_the_network_as_it_was():
    pyramid, _ = frozen_pyramid("test_efficientnet", False, "a test")
    assert norms(pyramid.network) == 0
    assert pyramid.weights_hash == "a6e46cc47114"
