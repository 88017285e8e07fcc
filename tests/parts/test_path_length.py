"""Path length: a given vector, a linear generator and StyleGAN2's own weights."""

from __future__ import annotations

import pytest
import torch
from helpers_stylegan import tiny
from torch import nn

import zoo.registry as registry
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.training.step import AdversarialStep


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def path_length_update(generator, n=4, labels=None):
    z = torch.randn(n, generator.latent_dim)
    w = generator.map(z, labels)
    images = generator.synthesize(w, labels)

    def generate(n, labels=None):
        z = torch.randn(n, generator.latent_dim)
        w = generator.map(z, labels)
        return GeneratorOutput(generator.synthesize(w, labels), z, w, labels)

    output = DiscriminatorOutput(torch.zeros(n), torch.zeros(n, 1), {})
    return Update(
        side="generator",
        generator=generator,
        discriminator=nn.Identity(),
        real=images.detach(),
        labels=labels,
        generated=GeneratorOutput(images, z, w, labels),
        real_output=None,
        fake_output=output,
        discriminate=lambda *_: output,
        generate=generate,
    )


def test_path_length_of_the_given_vector():
    regularizer = registry.create("regularizer", "path_length")
    assert regularizer.every == 4
    slope = torch.tensor([[[0.3, 0.4, 0.0], [0.0, 0.0, 1.0]], [[1.0, 2.0, 2.0], [0.0, 1.0, 0.0]]])
    assert regularizer.penalty(slope, regularizer.decay).item() == pytest.approx(5.533853, abs=1e-5)
    assert regularizer.average.item() == pytest.approx(0.015133, abs=1e-6)
    flat = registry.create("regularizer", "path_length", decay=1.0)
    assert flat.penalty(torch.tensor([[3.0, 4.0], [0.0, 1.0]]), 1.0).item() == pytest.approx(
        2 * 4.0
    )


def test_the_path_length_of_a_saturated_generator_has_a_gradient():
    """Where tanh is 1 in fp32 no style moves an image: the length is 0, and a root has no slope."""
    networks = [
        registry.create(kind, "mlp", image_size=4, channels=1, **options)
        for kind, options in (
            ("generator", {"latent_dim": 8, "width": 8}), ("discriminator", {"width": 16}),
        )
    ]  # fmt: skip
    generator, discriminator = networks
    with torch.no_grad():
        [p for p in generator.parameters() if p.dim() > 1][-1].mul_(1e5)
    step = AdversarialStep(
        generator,
        discriminator,
        registry.create("loss", "bce"),
        *(torch.optim.SGD(network.parameters(), 1e-3) for network in networks),
        regularizers=[registry.create("regularizer", "path_length")],
    )
    assert step(torch.rand(4, 1, 4, 4), None, 0)["path_length"] == 0
    assert all(p.isfinite().all() for p in generator.parameters())


class Linear(nn.Module):
    """Images A w: their path length is |A^T y| whatever the style."""

    latent_dim = 3

    def __init__(self, mapped):
        super().__init__()
        self.mapped = mapped
        self.matrix = nn.Parameter(torch.randn(2 * 4 * 4, 3))

    def map(self, z, y=None):
        return z * self.matrix.new_ones(3).requires_grad_() if self.mapped else z

    def synthesize(self, w, y=None):
        return (w @ self.matrix.T).view(-1, 2, 4, 4)


@pytest.mark.parametrize("mapped", [True, False])
def test_path_length_of_a_linear_generator(mapped):
    generator = Linear(mapped)
    regularizer = registry.create("regularizer", "path_length", weight=3.0, shrink=2)
    update = path_length_update(generator, n=6)
    torch.manual_seed(4)
    penalty = regularizer(update)
    torch.manual_seed(4)
    torch.randn(3, 3)  # the latents of half the batch
    noise = torch.randn(3, 2, 4, 4) / 4
    lengths = (noise.flatten(1) @ generator.matrix).norm(dim=1)
    average = 0.01 * lengths.mean().detach()
    torch.testing.assert_close(penalty, 3 * (lengths - average).square().mean())
    torch.testing.assert_close(regularizer.average, average)
    penalty.backward()
    assert generator.matrix.grad.any()


def test_path_length_reaches_the_weights_of_stylegan2():
    generator = tiny(num_classes=2)
    regularizer = registry.create("regularizer", "path_length")
    regularizer(path_length_update(generator, 4, torch.tensor([0, 1, 1, 0]))).backward()
    for name, parameter in generator.named_parameters():
        if parameter.dim() > 1:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("option", [{"decay": 0}, {"shrink": 0}, {"weight": -1}])
def test_path_length_refuses(option):
    with pytest.raises(ZooError, match=next(iter(option))):
        registry.create("regularizer", "path_length", **option)
