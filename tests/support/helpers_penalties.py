"""Critics with known gradients, and updates made by hand, for the tests of regularizers."""

from __future__ import annotations

import torch
from torch import nn

import zoo.registry as registry
from zoo.contracts.generator import Generator
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update

SLOPES = torch.tensor([[0.3, 0.4, 0], [1, 2, 2], [0, 0, 0]], dtype=torch.float64)
REAL = torch.tensor([1.5, -0.3, 0.2, 2.0], dtype=torch.float64)
FAKE = torch.tensor([-1.0, 0.4, 0.9, -0.6], dtype=torch.float64)
X = torch.tensor([[0, 1, 0.5], [0.2, -0.2, 0]], dtype=torch.float64)
G = torch.tensor([[0.5, 0.5, 0.5], [-0.8, 0.2, 1]], dtype=torch.float64)


def make(name: str, **options) -> Regularizer:
    return registry.create("regularizer", name, **options)


def said(scores: torch.Tensor, features: torch.Tensor | None = None) -> DiscriminatorOutput:
    return DiscriminatorOutput(scores, scores[:, None] if features is None else features, {})


def images_of(values: torch.Tensor) -> torch.Tensor:
    """Reshape vectors (N, V) to images (N, V, 1, 1)."""
    return values[:, :, None, None]


class PerImage(nn.Module):
    """A discriminator whose gradient at image i is row i of `slopes`, with optional scores."""

    def __init__(self, slopes: torch.Tensor, scores: torch.Tensor | None = None) -> None:
        super().__init__()
        self.slopes = nn.Parameter(slopes.clone())
        self.scores = scores

    def outputs(self, x, y=None):
        flat = x.flatten(1)
        products = (flat * self.slopes).sum(1)
        if self.scores is not None:  # replaces the value but keeps the gradient
            products = products - products.detach() + self.scores
        return DiscriminatorOutput(products, flat, {})


class Quadratic(nn.Module):
    """The discriminator D(x) = a |x|^2 / 2."""

    def __init__(self, a: float = 1.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def outputs(self, x, y=None):
        score = self.a * x.flatten(1).square().sum(1) / 2
        return DiscriminatorOutput(score, x.flatten(1), {"twice": 2 * score[:, None]})


def update_of(
    critic=None,
    real=None,
    fake=None,
    *,
    side="discriminator",
    real_output=None,
    fake_output=None,
    generator=None,
    z=None,
    generate=None,
    differentiable=(),
    labels=None,
    pieces=1,
) -> Update:
    """Return an update made by hand; outputs of D that are not given are computed."""
    real = images_of(X) if real is None else real.clone()
    fake = images_of(G) if fake is None else fake
    if "real" in differentiable:
        real.requires_grad_()
    if "fake" in differentiable:
        fake = fake.clone().requires_grad_()
    if critic is not None:
        real_output = real_output or critic.outputs(real)
        fake_output = fake_output or critic.outputs(fake)
    z = fake.flatten(1) if z is None else z
    return Update(
        side=side,
        generator=generator,
        discriminator=critic,
        real=real,
        labels=labels,
        generated=GeneratorOutput(fake, z, z, labels),
        real_output=real_output,
        fake_output=fake_output,
        discriminate=lambda x, y, augmented=True: critic.outputs(x, y),
        generate=generate,
        pieces=pieces,
    )


def of_slopes(slopes=SLOPES, **options) -> Update:
    return update_of(
        PerImage(slopes),
        torch.zeros(3, 3, 1, 1).double(),
        torch.ones(3, 3, 1, 1).double(),
        **options,
    )


class Stretch(Generator):
    """The generator G(z) = scale * z, as pixels."""

    def __init__(self, scale: float = 2.0) -> None:
        super().__init__((1, 1), 3, 3)
        self.scale = nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, z, y=None):
        return images_of(self.scale * z)
