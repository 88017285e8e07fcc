"""Self-attention against its formula, and the networks of SAGAN that hold it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from helpers import make_checkpoint
from torch import Tensor, nn

import zoo
from zoo.core.errors import ZooError
from zoo.inference.export import TOLERANCE, export
from zoo.layers.attention import SelfAttention2d, attend
from zoo.layers.derivatives import twice_differentiable
from zoo.layers.weights import DerivedWeight
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep


def layer(channels: int = 16, spectral_norm: bool = False) -> SelfAttention2d:
    torch.manual_seed(0)
    made = SelfAttention2d(channels, spectral_norm)
    torch.nn.init.constant_(made.gain, 0.7)
    return made


@pytest.mark.parametrize(("channels", "parameters"), [(256, 81_921), (128, 20_481)])
def test_published_counts(channels: int, parameters: int):
    assert sum(p.numel() for p in SelfAttention2d(channels, True).parameters()) == parameters


def by_position(attention: SelfAttention2d, x: Tensor) -> Tensor:
    """The paper's equations, one position at a time; an odd side ends in a repetition."""
    query, key, value, out = (
        conv.weight.flatten(1)
        for conv in (attention.query, attention.key, attention.value, attention.out)
    )
    result = x.clone()
    height, width = x.shape[2:]
    for n, image in enumerate(x):
        even = F.pad(image, (0, width % 2, 0, height % 2), mode="replicate")
        keys, values = (
            torch.einsum("dc,chw->dhw", w, even).unfold(1, 2, 2).unfold(2, 2, 2).amax((3, 4))
            for w in (key, value)
        )
        keys, values = keys.flatten(1), values.flatten(1)
        for row in range(height):
            for column in range(width):
                scores = (query @ image[:, row, column]) @ keys
                share = scores.exp() / scores.exp().sum()
                result[n, :, row, column] += attention.gain * (out @ (values @ share))
    return result


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(4, 6), (4, 5), (7, 3)])
def test_attention_is_its_formula(size, memory_format):
    attention, x = layer(), torch.randn(2, 16, *size).contiguous(memory_format=memory_format)
    torch.testing.assert_close(attention(x), by_position(attention, x))
    with torch.no_grad():
        torch.testing.assert_close(attention(x), by_position(attention, x))


@pytest.mark.parametrize("scale", [None, 1.0])
def test_attention_is_computed_in_fp32_on_a_processor(scale):
    """Under autocast too, whose own choice is bf16; only what comes out is rounded."""
    query, key, value = torch.randn(3, 2, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    weights = (query @ key.transpose(-1, -2) * (scale or 8**-0.5)).softmax(-1)
    torch.testing.assert_close(attend(query, key, value, scale), weights @ value)
    narrow = value.bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        attended = attend(query, key, narrow, scale)
    assert torch.equal(attended, attend(query, key, narrow.float(), scale).bfloat16())
    (gradient,) = torch.autograd.grad(attended.sum(), narrow)
    expected = weights.sum(-2)[..., None].expand_as(value)
    torch.testing.assert_close(gradient, expected.bfloat16())


def test_attention_starts_as_the_identity():
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(SelfAttention2d(16, spectral_norm=True)(x), x)


@pytest.mark.parametrize("value_width", [2, 8])  # 2: as wide as the keys, where kernels are fused
def test_attention_has_second_derivatives(value_width):
    attention = layer().double()
    attention.value = zoo.layers.linear.Conv2d(16, value_width, 1, bias=False).double()
    attention.out = zoo.layers.linear.Conv2d(value_width, 16, 1, bias=False).double()
    x = torch.randn(1, 16, 4, 4, dtype=torch.float64, requires_grad=True)
    with twice_differentiable():
        assert torch.autograd.gradgradcheck(attention, x)


@pytest.mark.parametrize(
    ("kind", "name", "sides"),
    [
        ("generator", "resnet", "8, 16, 32"),
        ("discriminator", "resnet", "16, 8"),
        ("discriminator", "projection", "16, 8"),
    ],
)
def test_a_side_that_no_map_has_is_told_with_those_there_are(kind, name, sides):
    shape = {"image_size": 32, "channels": 3, "num_classes": 4, "base_channels": 8, "attention": 5}
    if kind == "generator":
        shape["latent_dim"] = 8
    with pytest.raises(ZooError, match=rf"{kind} {name}: attention=5 .* {sides}, or 0\."):
        zoo.create(kind, name, **shape)


def sagan(kind: str) -> tuple[torch.nn.Module, tuple[Tensor, Tensor]]:
    """One of SAGAN's networks, small, with inputs."""
    torch.manual_seed(0)
    shape = {"image_size": 32, "channels": 3, "num_classes": 4, "attention": 16}
    labels = torch.tensor([0, 1, 3])
    if kind == "generator":
        options = {"latent_dim": 8, "base_channels": 16, "spectral_norm": True}
        network, x = zoo.create(kind, "resnet", **shape, **options), torch.randn(3, 8)
    else:
        network = zoo.create(kind, "projection", base_channels=16, **shape)
        x = torch.rand(3, 3, 32, 32) * 2 - 1
    for module in network.modules():
        if isinstance(module, SelfAttention2d):
            torch.nn.init.constant_(module.gain, 0.7)
    return network, (x, labels)


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_every_weight_of_sagan_is_normalised(kind):
    network, _ = sagan(kind)
    layers = [
        m
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear | nn.Embedding) and "scale_and_shift" not in name
    ]
    assert len(layers) > 10
    assert all(isinstance(m, DerivedWeight) and m.spectral_norm is not None for m in layers)


@pytest.mark.parametrize("kind", ["generator", "discriminator"])
def test_sagan_in_every_mode_of_running(kind):
    network, inputs = sagan(kind)
    network.eval()
    with torch.no_grad():
        expected = network(*inputs)  # by the fused kernel
    for way in (network, torch.compile(network, backend="eager", fullgraph=True)):
        torch.testing.assert_close(way(*inputs).detach(), expected, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        low = network(*inputs)
    torch.testing.assert_close(low.float(), expected, atol=0.1, rtol=0.1)
    network.to(memory_format=torch.channels_last)
    torch.testing.assert_close(network(*inputs).detach(), expected, atol=1e-4, rtol=1e-4)


def test_a_step_moves_the_gains_under_a_gradient_penalty():
    torch.manual_seed(0)
    shape = {"image_size": 32, "channels": 3, "num_classes": 4, "attention": 16}
    g = zoo.create(
        "generator", "resnet", latent_dim=8, base_channels=16, spectral_norm=True, **shape
    )
    d = zoo.create("discriminator", "projection", base_channels=16, **shape)
    for attention in (m for m in d.modules() if isinstance(m, SelfAttention2d)):
        # As wide as the keys, where the kernels are fused and have no second derivative.
        attention.value = zoo.layers.linear.Conv2d(16, 2, 1, bias=False)
        attention.out = zoo.layers.linear.Conv2d(2, 16, 1, bias=False)
    d.to(memory_format=torch.channels_last)
    loss, r1 = zoo.create("loss", "hinge"), zoo.create("regularizer", "r1")
    optimizers = (adam(network.parameters(), 1e-3, (0.0, 0.9)) for network in (g, d))
    step = AdversarialStep(g, d, loss, *optimizers, regularizers=[r1])
    for index in range(2):
        step(torch.rand(4, 3, 32, 32) * 2 - 1, torch.arange(4), index)
    gains = [m.gain.item() for n in (g, d) for m in n.modules() if isinstance(m, SelfAttention2d)]
    assert len(gains) == 2
    assert all(gains)


def test_a_generator_with_attention_is_the_same_in_onnxruntime(tmp_path):
    options = {"base_channels": 16, "attention": 8, "spectral_norm": True}
    model = zoo.load(make_checkpoint(tmp_path / "a.ckpt", "resnet", generator_options=options))
    torch.nn.init.constant_(model.generator.attention.gain, 0.7)
    assert export(model, tmp_path / "g.onnx", "onnx")["max_difference"] <= TOLERANCE
    z, y = model.draw(3, seed=2)
    inputs = {"z": z.numpy(), "labels": y.numpy(), "truncation": np.array(0.8, dtype=np.float32)}
    (images,) = onnxruntime.InferenceSession(tmp_path / "g.onnx").run(["images"], inputs)
    assert np.abs(images - model.sample(3, seed=2, truncation=0.8).numpy()).max() <= TOLERANCE
