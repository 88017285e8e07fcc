"""Principal directions of linear maps whose axes are known."""

from __future__ import annotations

import pytest
import torch
from helpers import make_checkpoint

import zoo
from zoo.core.errors import ZooError
from zoo.explore.latents import signed
from zoo.explore.principal import principal, principal_grid
from zoo.registry import REGISTRY
from zoo.tasks.explore import Explore

STRENGTHS = torch.tensor([9.0, 5.0, 3.0, 2.0, 1.0])


def axes(rows: int, columns: int, seed: int):
    random = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(rows, columns, generator=random)).Q


class Plain(zoo.Generator):
    """Its first layer is left · strengths · rightᵀ, a map of five latents to 64 numbers."""

    def __init__(self):
        super().__init__(8, 1, 5)
        self.left, self.right = axes(64, 5, 0), axes(5, 5, 1)
        self.layer = torch.nn.Linear(5, 64)
        with torch.no_grad():
            self.layer.weight.copy_(self.left @ torch.diag(STRENGTHS) @ self.right.T)

    def forward(self, z, y=None):
        return torch.tanh(self.layer(z)).view(-1, 1, 8, 8)


class Styled(Plain):
    """The same, as styles from which images are made."""

    def map(self, z, y=None):
        return self.layer(z)

    def synthesize(self, w, y=None):
        return torch.tanh(w).view(-1, 1, 8, 8)

    forward = zoo.Generator.forward


def assert_same_axes(steps, expected, atol):
    """Up to their sign, which is that of the largest number."""
    largest = expected.gather(1, expected.abs().argmax(1, keepdim=True)).sign()
    torch.testing.assert_close(steps, expected * largest, atol=atol, rtol=0)


def test_components_of_styles():
    network = Styled()
    found = principal(network, 5, samples=100_000)
    assert found.space == "w"
    torch.testing.assert_close(found.deviations, STRENGTHS, rtol=0.02, atol=0)
    assert_same_axes(found.steps / found.deviations[:, None], network.left.T, atol=0.03)


def test_components_of_the_first_layer_are_brought_back_to_latents():
    """One standard deviation of each is a unit step along the right singular vector."""
    network = Plain()
    found = principal(network, 3, samples=100_000)
    assert found.space == "z"
    torch.testing.assert_close(found.deviations, STRENGTHS[:3], rtol=0.02, atol=0)
    assert_same_axes(found.steps, network.right.T[:3], atol=0.03)
    assert torch.equal(found.steps, principal(network, 3, samples=100_000).steps)
    with pytest.raises(
        ZooError, match="directions=6 must be from 1 to 5, the dimensions of the space"
    ):
        principal(network, 6)


@pytest.mark.parametrize("name", ["mlp", "stylegan2"])
def test_pictures_and_the_section_of_a_report(name, tmp_path):
    tiny = REGISTRY.get("generator", name).load().tiny
    file = make_checkpoint(tmp_path / "a.ckpt", name, "mlp", generator_options=tiny)
    model = zoo.load(file)
    assert principal_grid(model, 2, 3, label=1).size == principal_grid(model, 2, 3, label=2).size
    if name == "mlp":
        Explore(ckpt=str(file), sections=["pca"], directions=2)(tmp_path)
        assert (tmp_path / "pca.png").is_file()


def test_columns_are_headed_by_their_amounts():
    heads = [signed(amount) for amount in torch.linspace(-3, 3, 9).tolist()]
    assert heads == ["-3", "-2.25", "-1.5", "-0.75", "0", "+0.75", "+1.5", "+2.25", "+3"]
    assert signed(-1e-9) == "0"
