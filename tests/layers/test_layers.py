"""Layers against closed forms, the unfolded maths, and torch's own spectral norm."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo.registry as registry
from zoo.core.errors import ZooError
from zoo.layers.init import dcgan_init
from zoo.layers.linear import Conv2d, Embedding, Linear, head_wrap
from zoo.layers.resnet import ConditionalBatchNorm2d, DiscriminatorBlock, GeneratorBlock
from zoo.layers.shapes import append_one_hot, halvings, to_map, to_vector
from zoo.layers.spectral_norm import SpectralNorm
from zoo.layers.weights import cached_weights


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


# Spectral norm


def test_spectral_norm_equals_torch_step_by_step():
    """torch starts each iteration from v, the paper from u: on the transpose they are the same."""
    reference = nn.utils.parametrizations.spectral_norm(nn.Linear(7, 5, bias=False), dim=1)
    own = Linear(7, 5, bias=False, spectral_norm=True)
    original = reference.parametrizations.weight
    with torch.no_grad():
        own.weight.copy_(original.original)
        original[0]._v.copy_(own.spectral_norm.u)
    for _ in range(4):
        x = torch.randn(3, 7)
        want, got = reference(x), own(x)
        torch.testing.assert_close(got, want)
        want.square().sum().backward()
        got.square().sum().backward()
        torch.testing.assert_close(own.weight.grad, original.original.grad)
        with torch.no_grad():
            change = torch.randn(5, 7) / 10
            own.weight.add_(change)
            original.original.add_(change)
    reference.eval(), own.eval()
    torch.testing.assert_close(own(x), reference(x))


@pytest.mark.parametrize(
    "layer",
    [
        Conv2d(3, 6, 3, spectral_norm=True),
        Linear(20, 6, spectral_norm=True),
        Embedding(4, 9, spectral_norm=True),
    ],
)
def test_sigma_is_the_largest_singular_value(layer):
    with torch.no_grad():
        for _ in range(200):
            weight = layer.effective_weight()
    exact = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    torch.testing.assert_close(weight, layer.weight / exact, rtol=1e-4, atol=1e-6)
    assert sum(p.numel() for p in layer.parameters()) == layer.weight.numel() + (
        0 if isinstance(layer, nn.Embedding) else 6
    )


def test_gradient_passes_through_sigma_and_not_through_u_and_v():
    layer = Linear(7, 5, spectral_norm=True)
    weight = layer.effective_weight()
    upstream = torch.randn(5, 7)
    (gradient,) = torch.autograd.grad(weight, layer.weight, upstream)
    u, v = layer.spectral_norm.u, layer.spectral_norm.v
    sigma = u @ layer.weight @ v
    want = (upstream - (upstream * layer.weight / sigma).sum() * torch.outer(u, v)) / sigma
    torch.testing.assert_close(gradient, want.detach())


def test_one_power_iteration_in_training_and_none_in_eval():
    layer = Conv2d(3, 4, 3, spectral_norm=True)
    with torch.no_grad():
        layer.weight.normal_()
    matrix = layer.weight.detach().flatten(1)
    v = F.normalize(matrix.T @ layer.spectral_norm.u, dim=0)
    u = F.normalize(matrix @ v, dim=0)
    layer(torch.randn(1, 3, 5, 5))
    torch.testing.assert_close(layer.spectral_norm.u, u)
    torch.testing.assert_close(layer.spectral_norm.v, v)
    before = copy.deepcopy(layer.state_dict())
    layer.eval()(torch.randn(1, 3, 5, 5))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_two_passes_before_backward():
    layer = Linear(4, 3, spectral_norm=True)
    first, second = layer(torch.randn(2, 4)), layer(torch.randn(2, 4))
    (first.sum() + second.sum()).backward()
    assert layer.weight.grad.isfinite().all()


def test_spectral_norm_has_second_derivatives():
    norm = SpectralNorm(torch.randn(3, 4)).double().eval()
    weight = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(norm, (weight,))


def test_sigma_is_in_fp32_under_autocast():
    layer = Conv2d(3, 4, 3, padding=1, resample="pool", spectral_norm=True).eval()
    want = layer.effective_weight()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.effective_weight(), want)
        assert layer(torch.randn(1, 3, 4, 4)).dtype == torch.bfloat16


def test_weights_in_low_precision_keep_their_dtype():
    layer = Linear(4, 3, spectral_norm=True).bfloat16()
    assert layer(torch.randn(2, 4, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_spectral_buffers_are_all_the_state_beside_parameters():
    d = registry.create("discriminator", "projection", image_size=8, channels=1, num_classes=3)
    parameters = dict(d.named_parameters())
    named = {k for k in d.state_dict() if k.endswith(("spectral_norm.u", "spectral_norm.v"))}
    assert named == set(d.state_dict()) - set(parameters)
    assert len(named) == 2 * sum(k.endswith("weight") for k in parameters)


def test_a_head_cannot_wrap_other_layers():
    with pytest.raises(ZooError, match="Bilinear"):
        head_wrap(True)(nn.Bilinear(2, 2, 1))


# Sharing within an update


def test_cached_weights_compute_once_and_gradients_add_up():
    shared = Conv2d(3, 4, 3, padding=1, resample="pool", spectral_norm=True)
    single = copy.deepcopy(shared)
    x, z = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    with cached_weights(shared):
        assert shared.effective_weight() is shared.effective_weight()
        loss = shared(x).square().sum() + shared(z).square().sum()
    loss.backward()
    single(torch.cat([x, z])).square().sum().backward()
    torch.testing.assert_close(shared.weight.grad, single.weight.grad)
    assert torch.equal(shared.spectral_norm.u, single.spectral_norm.u)  # one iteration each
    assert shared.effective_weight() is not shared.effective_weight()


def test_cached_weights_made_without_a_graph_do_not_serve_a_pass_that_wants_gradients():
    layer = Linear(4, 3, spectral_norm=True)
    x = torch.randn(2, 4)
    with cached_weights(layer):
        with torch.no_grad():
            layer(x)
        layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_cached_weights_leave_frozen_weights_frozen():
    layer = Linear(4, 3, spectral_norm=True).requires_grad_(False)
    x = torch.randn(2, 4, requires_grad=True)
    with cached_weights(layer):
        assert layer.effective_weight() is layer.effective_weight()
        layer(x).sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is None


def test_cached_weights_are_cleared_after_an_error_and_can_be_entered_again():
    layer = Linear(4, 3, spectral_norm=True)
    shared = cached_weights(nn.Sequential(layer))
    with pytest.raises(RuntimeError), shared:
        layer(torch.randn(2, 5))
    with shared:
        first = layer.effective_weight()
    with torch.no_grad():
        layer.weight.mul_(torch.rand_like(layer.weight))
    with shared:
        assert not torch.equal(layer.effective_weight(), first)


def test_plain_layers_use_their_parameter():
    layer = Linear(4, 3)
    with cached_weights(layer):
        assert layer.effective_weight() is layer.weight
    assert set(dict(layer.named_parameters())) == {"weight", "bias"}


def test_an_update_with_cached_weights_compiles_whole():
    """`aot_eager` traces as `inductor` would, without its minutes of code generation."""
    layer = nn.Sequential(
        Conv2d(2, 4, 3, padding=1, resample="pool", spectral_norm=True), nn.Flatten(), Linear(16, 1)
    )
    plain = copy.deepcopy(layer)

    def update(network, x, z):
        with cached_weights(network):
            return (network(x) - network(z)).sum()

    x, z = torch.randn(2, 2, 4, 4), torch.randn(2, 2, 4, 4)
    compiled = torch.compile(update, backend="aot_eager", fullgraph=True)
    got, want = compiled(layer, x, z), update(plain, x, z)
    got.backward(), want.backward()
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(layer[0].weight.grad, plain[0].weight.grad)
    torch.testing.assert_close(layer[0].spectral_norm.u, plain[0].spectral_norm.u)


# Folded resampling


def unfolded(layer, x):
    weight = layer.weight if layer.spectral_norm is None else layer.spectral_norm(layer.weight)
    if layer.resample == "upsample":
        x = F.interpolate(x, scale_factor=2, mode="nearest")
    x = F.conv2d(x, weight, layer.bias, padding=1)
    return F.avg_pool2d(x, 2) if layer.resample == "pool" else x


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("resample", ["pool", "upsample"])
@pytest.mark.parametrize("size", [(6, 6), (7, 10)])
def test_folding_is_exact(resample, size, spectral, memory_format):
    layer = Conv2d(3, 5, 3, padding=1, resample=resample, spectral_norm=spectral).eval()
    nn.init.normal_(layer.bias)
    layer.to(memory_format=memory_format)
    x = torch.randn(2, 3, *size, requires_grad=True)
    got, want = layer(x.to(memory_format=memory_format)), unfolded(layer, x)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    upstream = torch.randn_like(want)
    inputs = [x, layer.weight, layer.bias]
    slopes = [torch.autograd.grad(y, inputs, upstream, create_graph=True) for y in (got, want)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)
    seconds = [torch.autograd.grad(s[0].square().sum(), layer.weight)[0] for s in slopes]
    torch.testing.assert_close(*seconds, rtol=1e-4, atol=1e-4)


def test_folding_keeps_the_plain_kernel_as_the_only_state():
    layer = Conv2d(3, 5, 3, padding=1, resample="upsample")
    assert {k: tuple(v.shape) for k, v in layer.state_dict().items()} == {
        "weight": (5, 3, 3, 3),
        "bias": (5,),
    }


def test_only_3x3_convolutions_fold():
    with pytest.raises(ValueError, match="3x3"):
        Conv2d(3, 5, 1, resample="pool")


# Blocks


@pytest.mark.parametrize("num_classes", [0, 3])
def test_generator_block_is_the_papers(num_classes):
    block = GeneratorBlock(4, 6, num_classes)
    y = torch.tensor([0, 2]) if num_classes else None
    if num_classes:
        for norm in (block.norm1, block.norm2):
            nn.init.normal_(norm.scale_and_shift.weight)
    x = torch.randn(2, 4, 5, 5)

    def up(t):
        return t.repeat_interleave(2, 2).repeat_interleave(2, 3)

    h = F.conv2d(up(block.norm1(x, y).relu()), block.conv1.weight, block.conv1.bias, padding=1)
    h = F.conv2d(block.norm2(h, y).relu(), block.conv2.weight, block.conv2.bias, padding=1)
    want = h + F.conv2d(up(x), block.shortcut.weight, block.shortcut.bias)
    torch.testing.assert_close(block(x, y), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "outputs", "pool", "first"),
    [(3, 6, True, True), (4, 6, True, False), (4, 6, False, False), (4, 4, False, False)],
)
def test_discriminator_block_is_the_papers(inputs, outputs, pool, first):
    """First block: pool, then the shortcut's convolution; later: convolve, then pool."""
    block = DiscriminatorBlock(inputs, outputs, pool, first, spectral_norm=False)
    for name, parameter in block.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    x = torch.randn(2, inputs, 6, 6)
    halve = (lambda t: F.avg_pool2d(t, 2)) if pool else (lambda t: t)

    def conv(t, layer, padding):
        return F.conv2d(t, layer.weight, layer.bias, padding=padding)

    h = conv(conv(x if first else x.relu(), block.conv1, 1).relu(), block.conv2, 1)
    if block.shortcut is None:
        shortcut = x
    elif first:
        shortcut = conv(halve(x), block.shortcut, 0)
    else:
        shortcut = halve(conv(x, block.shortcut, 0))
    before = x.clone()
    torch.testing.assert_close(block(x), halve(h) + shortcut, rtol=1e-4, atol=1e-5)
    assert torch.equal(x, before)  # no in-place ReLU under the shortcut


def test_conditional_batch_norm():
    norm = ConditionalBatchNorm2d(4, 3)
    x, y = torch.randn(5, 4, 2, 2) * 3 + 1, torch.tensor([0, 1, 2, 1, 0])
    plain = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(norm(x, y), plain)
    nn.init.normal_(norm.scale_and_shift.weight)
    gamma, beta = norm.scale_and_shift.weight[y].detach().split(4, dim=1)
    want = (1 + gamma)[:, :, None, None] * plain + beta[:, :, None, None]
    torch.testing.assert_close(norm(x, y).detach(), want)
    assert sum(p.numel() for p in norm.parameters()) == 2 * 3 * 4


# Shapes and initialisations


def test_halvings():
    sizes = {8: (4, 1), 12: (6, 1), 28: (7, 2), 32: (4, 3), 36: (9, 2), 48: (6, 3), 96: (6, 4)}
    assert {size: halvings(size) for size in sizes} == sizes


def test_maps_and_vectors_are_inverse_views():
    vector = torch.randn(2, 3 * 3 * 5)
    maps = to_map(vector, 3)
    assert maps.shape == (2, 5, 3, 3)
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert to_vector(maps).data_ptr() == vector.data_ptr()
    assert torch.equal(to_vector(maps), vector)


def test_append_one_hot():
    z, y = torch.randn(3, 2), torch.tensor([2, 0, 1])
    assert torch.equal(append_one_hot(z, y, 3), torch.cat([z, F.one_hot(y, 3).float()], 1))


def test_dcgan_init():
    conv, norm = nn.Conv2d(64, 64, 4), nn.BatchNorm2d(4096)
    nn.Sequential(conv, norm).apply(dcgan_init)
    for weight, mean in ((conv.weight, 0.0), (norm.weight, 1.0)):
        assert weight.mean().item() == pytest.approx(mean, abs=1e-3)
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not conv.bias.any()
    assert not norm.bias.any()


def test_resnet_init_is_xavier_with_the_gain_of_relu_in_residual_convolutions():
    block = GeneratorBlock(32, 64, 0)
    for layer, gain in ((block.conv1, 2**0.5), (block.conv2, 2**0.5), (block.shortcut, 1.0)):
        outputs, inputs, h, w = layer.weight.shape
        bound = gain * (6 / ((inputs + outputs) * h * w)) ** 0.5
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert not layer.bias.any()
