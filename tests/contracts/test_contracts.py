"""What every registered part keeps to: a plugin is tested here by existing.

`pytest --plugin NAME` runs them on one part (`test_contracts_methods.py` too). Test ids begin with
`kind-name`; networks are built with the options of their `tiny`.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch
from helpers_contracts import (
    BATCH,
    CLASSES,
    Part,
    awaken,
    build,
    check_output,
    check_shape,
    classes_of,
    conditional,
    inputs,
    live,
    parametrize,
    update_of,
)
from torch import nn

import zoo.registry as registry
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.layers.derivatives import twice_differentiable
from zoo.training.terms import metric_name, own_losses

NETWORKS = ("generator", "discriminator")


@conditional
@parametrize(*NETWORKS)
def test_shapes_dtype_and_range(part, classes):
    network = build(part, classes_of(part, classes))
    for n in (BATCH, 2, 5):
        out = network(*inputs(part, n))
        check_shape(part, out, n)
        assert out.dtype == torch.float32
        check_output(part, out)


@conditional
@parametrize("discriminator")
def test_several_scores_of_an_image_are_said(part, classes):
    """Methods that need one score an image are refused by this, before the first pass."""
    network = build(part, classes_of(part, classes))
    assert (network(*inputs(part, 2)).dim() > 1) == network.several_scores


@pytest.mark.usefixtures("float64")
@parametrize(*NETWORKS)
def test_labels_are_optional_without_classes(part):
    if live(part).requires_labels:
        with pytest.raises(ZooError, match="label"):
            build(part, 0)
        return
    network = build(part).eval()
    x, y = inputs(part)
    torch.testing.assert_close(network(x), network(x, y))


@parametrize(*NETWORKS)
def test_labels_matter(part):
    network = awaken(build(part, CLASSES)).eval()
    x, y = inputs(part)
    x = x[:1].expand_as(x)
    assert not torch.allclose(network(x, y)[0], network(x, y)[1], atol=1e-6)


@pytest.mark.usefixtures("float64")
@parametrize(*NETWORKS)
def test_single_images_in_eval_mode(part):
    """In training mode a batch of one has no batch statistics; in eval mode it has to work."""
    network = build(part, classes_of(part, 0)).eval()
    x, y = inputs(part)
    with torch.no_grad():
        one, all_ = network(x[:1], y[:1]), network(x, y)
    assert one.isfinite().all()
    if not mixes_images(network):
        torch.testing.assert_close(one, all_[:1])


def mixes_images(network: nn.Module) -> bool:
    """By more than batch norm, which does not in eval mode."""
    return not getattr(network, "has_batch_statistics", False) and getattr(
        network, "mixes_images", False
    )


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (48, 2), (64, 3)])
@parametrize(*NETWORKS)
def test_other_sizes_and_channels(part, size, channels):
    """A size works or is refused in one sentence that names the part."""
    refusal, network = "", None
    try:
        network = build(part, classes_of(part, 0), size, channels).eval()
    except ZooError as error:
        refusal = str(error)
    if network is None:
        assert part[1] in refusal
        assert str(size) in refusal
        return
    with torch.no_grad():
        out = network(*inputs(part, 2, size, channels))
    check_shape(part, out, 2, channels, size)
    check_output(part, out)


@conditional
@parametrize(*NETWORKS)
def test_gradients_reach_every_parameter(part, classes):
    network = awaken(build(part, classes_of(part, classes)))
    x, y = inputs(part, 2 * CLASSES)
    x.requires_grad_()
    out = network(x, y)
    loss = (out * torch.randn_like(out)).sum()
    if part[0] == "discriminator":
        loss = loss + sum(network.auxiliary(update_of(network, x, y)).values())
        check_named(network, update_of(network, x, y))
    loss.backward()
    assert x.grad.isfinite().all()
    assert x.grad.any()
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:  # fixed by the architecture
            continue
        assert parameter.grad is not None, f"{name} has no gradient"
        assert parameter.grad.isfinite().all(), f"{name} has a gradient that is not finite"
        if parameter.dim() > 1:
            assert parameter.grad.any(), f"the gradient of {name} is zero"


@parametrize(*NETWORKS)
def test_the_same_seed_gives_the_same_network_and_output(part):
    classes = classes_of(part, CLASSES)
    first, second = build(part, classes), build(part, classes)
    x, y = inputs(part)
    outputs = []
    for network in (first, second):
        torch.manual_seed(3)
        outputs.append(network(x, y))
    assert torch.equal(*outputs)
    a, b = first.state_dict(), second.state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


@parametrize(*NETWORKS)
def test_state_dict_round_trip(part, tmp_path):
    classes = classes_of(part, CLASSES)
    network = build(part, classes)
    x, y = inputs(part)
    network(x, y)  # moves batch statistics and singular vectors
    torch.save(network.state_dict(), tmp_path / "state.pt")
    torch.manual_seed(9)
    other = build(part, classes)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    with torch.no_grad():
        assert torch.equal(network.eval()(x, y), other.eval()(x, y))


@parametrize(*NETWORKS)
def test_eval_mode_changes_no_state(part):
    network = build(part, classes_of(part, CLASSES)).eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network(*inputs(part))
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


@parametrize(*NETWORKS)
def test_bf16_autocast(part):
    network = build(part, classes_of(part, CLASSES))
    x, y = inputs(part)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x, y)
    out.float().sum().backward()
    check_shape(part, out, BATCH)
    check_output(part, out.float())
    for name, parameter in network.named_parameters():
        assert parameter.dtype == torch.float32, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.usefixtures("float64")
@parametrize(*NETWORKS)
def test_channels_last_changes_nothing(part):
    network = build(part, classes_of(part, CLASSES)).eval()
    x, y = inputs(part)
    with torch.no_grad():
        want = network(x, y)
        network.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last) if x.dim() == 4 else x
        torch.testing.assert_close(network(x, y), want)


@pytest.mark.usefixtures("float64")
@parametrize(*NETWORKS)
def test_compile_where_it_is_claimed(part):
    """Captured whole, without graph breaks (which is also: without reading a tensor on the host).

    The backend `eager` traces as `inductor` would and spares its minutes of code generation; that
    backward and moving buffers trace as well is tested once, in `test_layers.py`.
    """
    network = build(part, classes_of(part, CLASSES))
    if not network.claims_compile:
        return
    x, y = inputs(part)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    torch.manual_seed(3)  # noise within a network
    got = compiled(x, y)
    plain = build(part, classes_of(part, CLASSES))
    torch.manual_seed(3)
    want = plain(x, y)
    torch.testing.assert_close(got, want)
    got.sum().backward()


@parametrize("discriminator")
def test_every_trunk_takes_every_head(part):
    if not live(part).takes_head:
        with pytest.raises(ZooError, match="takes no head"):
            build(part, CLASSES, head="unconditional")
        return
    for head in registry.list_parts("head"):
        check_head(part, head)


@parametrize("discriminator")
def test_the_first_stage_sees_the_image_and_is_a_part_of_the_trunk(part):
    """FreezeD freezes it, and would train nothing but the head if it were the whole trunk."""
    network = build(part, classes_of(part, CLASSES))
    stages = network.stages()
    if not stages:  # a trunk that is frozen from the start
        with pytest.raises(ZooError, match=f"discriminator {part[1]} has no layers to freeze"):
            registry.create("regularizer", "freeze_d").setup(None, network)
        return
    used: list[nn.Module] = []
    for name, module in network.named_modules():
        if name and not name.startswith("head.") and [*module.parameters(recurse=False)]:
            module.register_forward_pre_hook(lambda module, _: used.append(module))
    network(*inputs(part, BATCH))
    assert used[0] in [*stages[0].modules()]
    assert used[-1] not in [*stages[0].modules()]


@parametrize("head")
def test_every_head_fits_a_trunk_with_and_without_spectral_norm(part):
    for trunk in ("mlp", "projection"):
        check_head(("discriminator", trunk), part[1])


def check_named(network: Discriminator, update: Update) -> None:
    """What a discriminator or its head calls its losses is known before a step; a plugin may not
    say it."""
    known = own_losses(build(("generator", "mlp"), CLASSES), network)
    if known is None:
        parts = (network, network.head) if network.takes_head else (network,)
        assert not all(type(part).__module__.startswith("zoo.") for part in parts)
        return
    for side in ("discriminator", "generator"):
        names = network.auxiliary(dataclasses.replace(update, side=side))
        assert {metric_name(name, side) for name in names} <= known


def check_head(part: Part, head: str) -> None:
    network = build(part, CLASSES, head=head)
    x, y = inputs(part, 2 * CLASSES)
    scores = network(x, y)
    assert scores.shape == (2 * CLASSES,), head
    assert scores.isfinite().all(), head
    auxiliary = network.auxiliary(update_of(network, x, y))
    check_named(network, update_of(network, x, y))
    ((scores * torch.randn_like(scores)).sum() + sum(auxiliary.values())).backward()
    for name, parameter in network.head.named_parameters():
        assert parameter.grad is not None, f"{head}.{name} has no gradient"


@parametrize("discriminator")
def test_per_sample_networks_have_second_derivatives_and_do_not_mix_images(part):
    """What a gradient penalty needs of a discriminator that was built for one."""
    options = {}
    if any(p.name == "per_sample" for p in registry.REGISTRY.get(*part).parameters):
        options["per_sample"] = True
    network = build(part, classes_of(part, CLASSES), **options)
    if network.has_batch_statistics:
        assert not options, "built with per_sample=True, it still has batch statistics"
        return
    network.eval()  # spectral norm moves its vectors in training
    x, y = inputs(part)
    x.requires_grad_()
    scores = network(x, y)
    (slope,) = torch.autograd.grad(scores[0].sum(), x, retain_graph=True)
    assert slope[0].any()
    if not mixes_images(network):
        assert not slope[1:].any(), "the score of one image depends on another image"
    network.train()
    with twice_differentiable():
        scores = network(x, y)
    (slopes,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    ((slopes.flatten(1).norm(dim=1) - 1) ** 2).mean().backward()
    gradients = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    assert any(g.any() for g in gradients.values())
    for name, gradient in gradients.items():
        assert gradient.isfinite().all(), name


@parametrize("discriminator")
def test_buffers_that_training_moves_are_statistics_or_singular_vectors(part):
    """Whatever else moved would be averaged by the EMA without anyone having decided so."""
    network = build(part, classes_of(part, CLASSES))
    before = {k: v.clone() for k, v in network.named_buffers()}
    network(*inputs(part))
    moved = {k for k, v in network.named_buffers() if not torch.equal(v, before[k])}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    vectors = ("spectral_norm.u", "spectral_norm.v")
    assert all(k.endswith(statistics + vectors) for k in moved), moved


# Losses, regularizers, augmentations


@parametrize("generator", "discriminator", "head", "loss", "regularizer", "augmentation")
def test_parts_say_what_they_are(part):
    """`task=list` shows the first line of the docstring and the paper."""
    found = registry.REGISTRY.get(*part)
    assert found.summary
    bases = {"head": "Head", "loss": "Loss", "regularizer": "Regularizer"}
    base = bases.get(part[0], part[0].title())
    assert any(c.__name__ == base for c in live(part).__mro__)
