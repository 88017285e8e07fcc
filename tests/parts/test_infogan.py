"""InfoGAN: its networks, its head, and that codes are learned back."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zoo
from zoo.contracts.head import Trunk
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput
from zoo.contracts.update import Update
from zoo.core.errors import ZooError
from zoo.parts.heads.infogan import InfoGAN, gaussian_nll
from zoo.parts.latents.codes import Codes
from zoo.parts.latents.normal import Normal


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def discriminator(name: str, latent: Any, size: int = 28, channels: int = 1, **options: Any) -> Any:
    """As the builder makes it: the head's factory carries the prior."""
    head = zoo.factory("head", "infogan", **options.pop("head", {}))
    head.latent = latent
    return zoo.create(
        "discriminator", name, image_size=size, channels=channels, head=head, **options
    )


def update_of(side: Any, output: DiscriminatorOutput, z: torch.Tensor) -> Update:
    made: Any = functools.partial(Update, side=side, generator=None, discriminator=None)
    images = torch.zeros(len(z), 1, 8, 8)
    return made(
        real=images,
        labels=None,
        generated=GeneratorOutput(images, z, z, None),
        real_output=None,
        fake_output=output,
        discriminate=None,
        generate=None,
    )


def test_published_counts():
    with torch.device("meta"):
        g = zoo.create("generator", "infogan", image_size=28, channels=1, latent_dim=74)
        d = discriminator("infogan", Codes(74))
        alone = zoo.create("discriminator", "infogan", image_size=28, channels=1)
    assert count(g) == 6_652_481
    assert count(alone) == 6_559_169
    assert count(d.head.q) == 133_262
    assert count(d) == 6_559_169 + 133_262


def test_oblong_images_and_refused_sizes():
    g = zoo.create(
        "generator", "infogan", image_size=[16, 24], channels=1, latent_dim=5, base_channels=2,
        hidden=8,
    )  # fmt: skip
    images = g(torch.randn(3, 5))
    assert images.shape == (3, 1, 16, 24)
    d = zoo.create(
        "discriminator", "infogan", image_size=[16, 24], channels=1, base_channels=2, hidden=8
    )
    assert d(images).shape == (3,)
    with pytest.raises(ZooError, match=r"infogan cannot work at image_size=30.*28 or 32"):
        zoo.create("generator", "infogan", image_size=30, channels=1, latent_dim=5)


def test_likelihood_of_continuous_codes():
    """methods.md, A: with sigma given, and with sigma 1."""
    c = torch.tensor([[0.4, -0.9], [-0.1, 0.7]], dtype=torch.float64)
    mean = torch.tensor([[0.1, -0.2], [0.3, 0.5]], dtype=torch.float64)
    variance = torch.tensor([[1, 0.5], [0.8, 2]], dtype=torch.float64)
    assert gaussian_nll(c, mean, variance.log()).mean().item() == pytest.approx(2.104591, abs=1e-6)
    fixed = gaussian_nll(c, mean, torch.zeros_like(mean)).mean().item()
    assert fixed == pytest.approx(2.032877, abs=1e-6)


@pytest.mark.parametrize("side", ["discriminator", "generator"])
@pytest.mark.parametrize("fix_std", [True, False])
def test_losses_of_the_codes_against_torchs_own(side, fix_std):
    latent = Codes(11, categorical=[3, 2], continuous=2)
    trunk = Trunk(features=6, num_classes=0, image_size=8, latent=latent)
    head = InfoGAN(trunk, lambda_discrete=0.5, lambda_continuous=2.0, fix_std=fix_std)
    z = latent.sample(5, torch.Generator().manual_seed(0))
    output = head.outputs(torch.randn(5, 6))
    assert output.scores.shape == (5,)
    q = output.extra["codes"]
    assert q.shape == (5, 3 + 2 + 2 * 2)
    losses = head.auxiliary(update_of(side, output, z))
    discrete = F.cross_entropy(q[:, :3], z[:, 4:7].argmax(1))
    discrete = discrete + F.cross_entropy(q[:, 3:5], z[:, 7:9].argmax(1))
    torch.testing.assert_close(losses["info_discrete"], 0.5 * discrete)
    variance = torch.ones(5, 2) if fix_std else q[:, 7:9].exp()
    nll = F.gaussian_nll_loss(q[:, 5:7], z[:, 9:], variance, full=True, reduction="none")
    torch.testing.assert_close(losses["info_continuous"], 2 * nll.sum(1).mean())
    sum(losses.values()).backward()
    assert head.q[0].weight.grad.any()
    assert head.score.weight.grad is None


def test_losses_of_the_codes_stay_in_double_precision():
    latent = Codes(6, categorical=[4], continuous=1)
    head = InfoGAN(Trunk(features=6, num_classes=0, image_size=8, latent=latent)).double()
    z = latent.sample(64).double()
    output = head.outputs(torch.randn(64, 6, dtype=torch.float64))
    losses = head.auxiliary(update_of("generator", output, z))
    exact = F.cross_entropy(output.extra["codes"][:, :4], z[:, 1:5].argmax(1))
    torch.testing.assert_close(losses["info_discrete"], exact, rtol=1e-12, atol=0)


def test_only_the_codes_that_exist_have_losses():
    for options, name in (
        ({"categorical": [4], "continuous": 0}, "info_discrete"),
        ({"categorical": [], "continuous": 1}, "info_continuous"),
    ):
        latent = Codes(6, **options)
        head = InfoGAN(Trunk(features=6, num_classes=0, image_size=8, latent=latent))
        losses = head.auxiliary(
            update_of("generator", head.outputs(torch.randn(3, 6)), latent.sample(3))
        )
        assert set(losses) == {name}
    alone = InfoGAN(Trunk(features=6, num_classes=0, image_size=8))
    output = alone.outputs(torch.randn(3, 6))
    assert alone.auxiliary(update_of("generator", output, torch.zeros(3, 6))) == {}


def test_what_does_not_go_together_is_told():
    with pytest.raises(ZooError, match=r"latent normal has none: choose model/latent=codes"):
        InfoGAN(Trunk(features=6, num_classes=0, image_size=8, latent=Normal(4)))
    latent = Codes(14)
    head = InfoGAN(Trunk(features=6, num_classes=0, image_size=8, latent=latent))
    assert head.reads_each_image  # so that packs are refused, see compatibility.check_scores
    assert not InfoGAN(Trunk(features=6, num_classes=0, image_size=8)).reads_each_image


@pytest.mark.parametrize("name", ["mlp", "dcgan", "resnet", "sn_cnn"])
def test_any_trunk_carries_q(name):
    latent = Codes(14)
    d = discriminator(name, latent, size=16, head={"norm": "layer"})
    assert not any(isinstance(m, nn.BatchNorm2d) for m in d.head.modules())
    images, z = torch.rand(4, 1, 16, 16, requires_grad=True), latent.sample(4)
    losses = d.auxiliary(update_of("generator", d.outputs(images), z))
    assert set(losses) == {"info_discrete", "info_continuous"}
    sum(losses.values()).backward()
    assert images.grad.any()


def test_networks_with_the_layer_norm_do_not_mix_images():
    d = discriminator("infogan", Codes(14), head={"norm": "layer"}, norm="layer", base_channels=2)
    assert not d.has_batch_statistics
    assert discriminator("infogan", Codes(14), base_channels=2).has_batch_statistics


def test_g_and_q_learn_the_codes_together():
    """The auxiliary losses alone, in both networks, make the code readable from the image."""
    torch.manual_seed(0)
    latent = Codes(10, categorical=[4], continuous=1)
    g = zoo.create("generator", "mlp", image_size=8, channels=1, latent_dim=10, width=16, depth=2)
    d = discriminator("mlp", latent, size=8, width=32)
    optimizer = torch.optim.Adam([*g.parameters(), *d.parameters()], 3e-3)
    for _ in range(150):
        z = latent.sample(64)
        losses = d.auxiliary(update_of("generator", d.outputs(g(z)), z))
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    z = latent.sample(256)
    with torch.no_grad():
        q = d.outputs(g(z)).extra["codes"]
    assert (q[:, :4].argmax(1) == z[:, 5:9].argmax(1)).float().mean() > 0.95
    assert (q[:, 4] - z[:, 9]).square().mean() < 0.1
    assert losses["info_continuous"] < 0.5 * math.log(2 * math.pi) + 0.1
