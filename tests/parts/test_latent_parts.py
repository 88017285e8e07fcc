"""Latents as parts: `normal`, `uniform`, `codes`."""

from __future__ import annotations

import math

import pytest
import torch

import zoo
from zoo.contracts.latent import Code
from zoo.core.errors import ZooError
from zoo.layers.truncated_normal import truncate
from zoo.parts.generators.mlp import MLPGenerator

NAMES = ("normal", "uniform", "codes")


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_latents_in_float32(name):
    latent = zoo.create("latent", name, dim=20)
    first, second = (latent.sample(5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (5, 20)
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
    assert not torch.equal(first, latent.sample(5, torch.Generator().manual_seed(4)))
    torch.manual_seed(1)
    loose = latent.sample(5)
    torch.manual_seed(1)
    assert torch.equal(loose, latent.sample(5, device=torch.device("cpu")))


@pytest.mark.parametrize("name", NAMES)
def test_they_are_drawn_on_the_generators_device_and_handed_over_on_the_one_asked_for(name):
    latent = zoo.create("latent", name, dim=20)
    z = latent.sample(5, torch.Generator().manual_seed(3), torch.device("meta"))
    assert z.device.type == "meta"


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_draws_from_the_latent_that_it_is_given(name):
    generator = MLPGenerator(8, 1, 20, width=4, depth=1)
    generator.latent = zoo.create("latent", name, dim=20)
    want = generator.latent.sample(4, torch.Generator().manual_seed(0))
    assert torch.equal(generator.sample_latent(4, torch.Generator().manual_seed(0)), want)


def test_normal_is_what_generators_draw_by_themselves():
    generator = MLPGenerator(8, 1, 20, width=4, depth=1)
    want = generator.sample_latent(4, torch.Generator().manual_seed(0))
    generator.latent = zoo.create("latent", "normal", dim=20)
    assert torch.equal(generator.sample_latent(4, torch.Generator().manual_seed(0)), want)


def test_normal_truncates_as_sampling_does():
    latent = zoo.create("latent", "normal", dim=50)
    z = latent.sample(400)
    for t in (0.5, 1.0, 2.0, 7.0):
        torch.testing.assert_close(latent.truncate(z, t), truncate(z, t), rtol=1e-6, atol=1e-6)
    assert torch.equal(latent.truncate(z, 7.0), z)
    inside = latent.truncate(z, torch.tensor(0.5))
    assert inside.abs().max() <= 0.5
    # Standard deviation of the normal truncated to [-t, t]: 1 - 2 t phi(t) / (2 Phi(t) - 1).
    t = 0.5
    density = math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    std = math.sqrt(1 - 2 * t * density / math.erf(t / math.sqrt(2)))
    assert std == pytest.approx(0.283882, abs=1e-6)
    assert inside.std().item() == pytest.approx(std, rel=0.02)


def test_a_generator_from_python_truncates_its_normal_latents():
    generator = MLPGenerator(8, 1, 20, width=4, depth=1)
    z = generator.sample_latent(4)
    want = zoo.create("latent", "normal", dim=20).truncate(z, 0.5)
    assert torch.equal(generator.truncate(z, None, 0.5), want)

    class Own(MLPGenerator):
        def sample_latent(self, n, generator=None):
            return torch.zeros(n, self.latent_dim)

    with pytest.raises(ZooError, match="Own draws its latents from a prior of its own"):
        Own(8, 1, 20, width=4, depth=1).truncate(z, None, 0.5)


@pytest.mark.parametrize("name", ["uniform", "codes"])
def test_other_priors_refuse_truncation(name):
    latent = zoo.create("latent", name, dim=20)
    with pytest.raises(ZooError, match="truncat"):
        latent.truncate(latent.sample(2), 0.5)


def test_uniform_fills_its_range():
    z = zoo.create("latent", "uniform", dim=10).sample(2000, torch.Generator().manual_seed(0))
    assert -1 <= z.min() < -0.999
    assert 0.999 < z.max() < 1
    assert z.var().item() == pytest.approx(1 / 3, rel=0.02)


def test_codes_lie_behind_the_noise():
    latent = zoo.create("latent", "codes", dim=74)
    assert latent.noise_dim == 62
    assert latent.codes == (Code(62, 10, True), Code(72, 1, False), Code(73, 1, False))
    z = latent.sample(3000, torch.Generator().manual_seed(0))
    one_hot = z[:, 62:72]
    assert set(one_hot.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(one_hot.sum(1), torch.ones(3000))
    assert one_hot.mean(0).sub(0.1).abs().max() < 0.03
    for uniform in (z[:, :62], z[:, 72:]):
        assert uniform.abs().max() <= 1
        assert uniform.var().item() == pytest.approx(1 / 3, rel=0.05)


def test_codes_of_other_kinds():
    latent = zoo.create("latent", "codes", dim=9, categorical=[3, 2], continuous=0, noise="normal")
    assert latent.codes == (Code(4, 3, True), Code(7, 2, True))
    z = latent.sample(4000, torch.Generator().manual_seed(0))
    assert z[:, :4].std().item() == pytest.approx(1, rel=0.05)
    alone = zoo.create("latent", "codes", dim=2, categorical=[], continuous=2)
    assert alone.sample(3).shape == (3, 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dim": 11}, "model.latent_dim to 12"),
        ({"dim": 20, "categorical": [1]}, "categorical"),
        ({"dim": 20, "continuous": -1}, "continuous=-1"),
        ({"dim": 20, "categorical": [], "continuous": 0}, "no code"),
        ({"dim": 0}, "latent_dim=0"),
    ],
)
def test_impossible_codes_are_told(options, said):
    with pytest.raises(ZooError, match=said.replace("[", r"\[")):
        zoo.create("latent", "codes", **options)
