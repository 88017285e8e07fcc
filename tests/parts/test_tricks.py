"""Regularizers that act on weights or latents instead of on what D says."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers_penalties import FAKE, SLOPES, PerImage, make, said, update_of
from torch import nn

import zoo.registry as registry
from zoo.core.errors import ZooError


def test_orthogonal_vector_and_gradient():
    layer = nn.Linear(3, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1, 2, 0], [0, 1, -1]]))
    network = nn.Sequential(layer, nn.Embedding(4, 3).double(), nn.BatchNorm1d(2).double())
    update = update_of(fake_output=said(FAKE), generator=network, side="generator")
    value = make("orthogonal", weight=1.0)(update)
    assert value.item() == 8
    value.backward()
    want = 2 * torch.tensor([[0, 4, -4], [4, 8, 0]], dtype=torch.float64)  # twice BigGAN's code
    torch.testing.assert_close(layer.weight.grad, want)


def test_orthogonal_kernels_are_seen_by_their_outputs():
    torch.manual_seed(0)
    for layer, matrix in (
        (nn.Conv2d(2, 4, 3), lambda w: w.flatten(1)),
        (nn.ConvTranspose2d(2, 4, 3), lambda w: w.transpose(0, 1).flatten(1)),
    ):
        update = update_of(fake_output=said(FAKE), generator=layer, side="generator")
        w = matrix(layer.weight)
        want = ((w @ w.T) * (1 - torch.eye(4))).square().sum()
        torch.testing.assert_close(make("orthogonal", weight=0.5)(update), 0.5 * want)
    assert make("orthogonal", network="both").sides == ("discriminator", "generator")
    assert make("orthogonal", network="discriminator").sides == ("discriminator",)


def test_lookahead_vector():
    """From 1 to 2 with alpha 1/2 gives 3/2, from where both go on."""
    ahead = make("lookahead", every=2)
    generator, discriminator = nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False)
    for weight in (generator.weight, discriminator.weight):
        nn.init.ones_(weight)
    ahead.setup(generator, discriminator)
    slow = copy.deepcopy(ahead.state_dict())
    for value, want in ((2.0, 1.5), (2.5, 2.0)):
        with torch.no_grad():
            generator.weight.fill_(value)
            discriminator.weight.fill_(value)
            ahead.setup(generator, discriminator)  # changes nothing
            ahead.after_update(generator)
        assert generator.weight.item() == want
        assert (discriminator.weight == want).all()
    assert sorted(slow) == ["slow_0", "slow_1"]
    assert ahead.state_dict()["slow_1"].tolist() == [[2.0], [2.0]]
    assert not list(ahead.parameters())
    assert ahead.sides == ("generator",)
    assert [update for update in range(7) if ahead.is_due(update)] == [1, 3, 5]


def test_freeze_d_freezes_the_first_stages_only():
    made = registry.create("discriminator", "dcgan", image_size=32, channels=1, base_channels=4)
    stages = made.stages()
    make("freeze_d", stages=2).setup(None, made)
    for i, stage in enumerate(stages):
        assert {p.requires_grad for p in stage.parameters()} == {i >= 2}
    assert all(p.requires_grad for p in made.head.parameters())
    wanted = f"stages=99 must be {len(stages)} or less for discriminator dcgan"
    with pytest.raises(ZooError, match=wanted):
        make("freeze_d", stages=99).setup(None, made)
    made = registry.create("discriminator", "mlp", image_size=8, channels=1, depth=1)
    with pytest.raises(ZooError, match="stages=2 must be 1 or less for discriminator mlp"):
        make("freeze_d", stages=2).setup(None, made)


def test_freeze_d_keeps_a_layer_to_train_where_the_trunk_computes_the_scores():
    made = registry.create("discriminator", "patchgan", image_size=32, channels=1, base_channels=4)
    with pytest.raises(ZooError, match="stages=8 must be 7 or less for discriminator patchgan"):
        make("freeze_d", stages=len(made.stages())).setup(None, made)
    assert all(p.requires_grad for p in made.parameters())


def test_logan_vectors():
    z = torch.tensor([[0.5, -0.2, 0.1], [0.9, 0.9, -0.9]], dtype=torch.float64)
    critic = PerImage(SLOPES[:2])
    logan = make("logan", share=1.0, clip=1.0, cost=1.0)
    with torch.no_grad():  # as in an update of D
        moved = logan.latents(z, None, lambda x, y: critic.outputs(x))
    want = [[0.551429, -0.131429, 0.1], [0.964286, 1.0, -0.771429]]
    torch.testing.assert_close(moved, torch.tensor(want).double(), rtol=0, atol=1e-6)
    assert not moved.requires_grad
    assert logan(update_of(fake_output=said(FAKE))) is None
    moved = logan.latents(z, None, lambda x, y: critic.outputs(x))
    cost = logan(update_of(fake_output=said(FAKE), side="generator", z=moved))
    assert cost.item() == pytest.approx(0.022270, abs=1e-6)
    assert (moved - z).square().sum(1).mean().item() == pytest.approx(0.019005, abs=1e-6)
    assert moved.requires_grad  # G learns through the step
    free = make("logan", share=1.0).latents(z, None, lambda x, y: critic.outputs(x))
    assert (free - z)[0].tolist() == pytest.approx([0.051429, 0.068571, 0.0], abs=1e-6)
    assert (free - z)[1].tolist() == pytest.approx([0.064286, 0.128571, 0.128571], abs=1e-6)


def test_logan_moves_a_share_of_the_values():
    torch.manual_seed(0)
    z = torch.zeros(1000, 3, dtype=torch.float64)
    critic = PerImage(torch.ones(1, 3, dtype=torch.float64))
    moved = make("logan", share=0.8).latents(z, None, lambda x, y: critic.outputs(x))
    values = (moved != 0).double()
    assert values.mean().item() == pytest.approx(0.8, abs=6 * (0.16 / 3000) ** 0.5)
    mixed = (values.std(1) > 0).double().mean().item()  # each value for itself: 1 - 0.8³ - 0.2³
    assert mixed == pytest.approx(0.48, abs=6 * (0.2496 / 1000) ** 0.5)


@pytest.mark.parametrize("name", ["logan", "zcr"])
def test_codes_stay_what_they_are(name):
    """A head reads them back from the images: it has to be told of those that G was given."""
    generator = registry.create("generator", "mlp", image_size=4, channels=1, latent_dim=7, width=4)
    generator.latent = registry.create("latent", "codes", dim=7, categorical=[3], continuous=1)
    generator.double()
    z, seen = generator.latent.sample(5).double(), []
    method = make(name, **({"share": 1.0} if name == "logan" else {}))
    method.setup(generator, None)
    critic = PerImage(torch.ones(5, 7, dtype=torch.float64))
    if name == "logan":
        seen.append(method.latents(z, None, lambda x, y: critic.outputs(x)))
    else:
        generator.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        method(update_of(fake=generator(z), z=z, generator=generator, side="generator"))
    assert torch.equal(seen[-1][:, 3:], z[:, 3:])
    assert not (seen[-1][:, :3] == z[:, :3]).any()
