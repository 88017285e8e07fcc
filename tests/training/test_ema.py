"""The moving average of the generator."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import zoo
from zoo.core.errors import ZooError
from zoo.layers.weights import DerivedWeight
from zoo.training.ema import EMA


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.count += 1
        return self.norm(self.layer(x))


def test_what_is_averaged_and_what_is_copied():
    torch.manual_seed(0)
    network = Network()
    ema = EMA(network, beta=0.75)
    before = {k: v.clone() for k, v in ema.module.state_dict().items()}
    network.train()
    network(torch.randn(8, 3))
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn_like(p))
    ema.update(1, 0)
    after, trained = ema.module.state_dict(), network.state_dict()
    for name, value in after.items():
        copied = name.endswith(("_u", "_v", "count", "num_batches_tracked"))
        want = trained[name] if copied else 0.75 * before[name] + 0.25 * trained[name]
        torch.testing.assert_close(value, want, msg=name)
    assert {n for n in after if torch.equal(after[n], trained[n])} >= {
        "count",
        "norm.num_batches_tracked",
    }
    assert not torch.equal(after["norm.running_mean"], trained["norm.running_mean"])


def test_the_average_is_apart_from_training():
    network = Network()
    ema = EMA(network)
    assert not ema.module.training
    assert not any(p.requires_grad for p in ema.module.parameters())
    own = {p.data_ptr() for p in ema.module.parameters()}
    assert not own & {p.data_ptr() for p in network.parameters()}


def test_decay():
    ema = EMA(nn.Linear(1, 1), half_life=1000, rampup=0.05)
    assert ema.decay(64, 0) == 0  # the first update copies
    assert ema.decay(64, 2000) == pytest.approx(0.5 ** (64 / 100))
    assert ema.decay(64, 10**6) == pytest.approx(0.5 ** (64 / 1000))
    assert EMA(nn.Linear(1, 1), half_life=500, rampup=None).decay(64, 0) == pytest.approx(
        0.5 ** (64 / 500)
    )
    for half_life in (None, 1000):  # beta wins
        fixed = EMA(nn.Linear(1, 1), half_life=half_life, beta=0.999)
        assert fixed.decay(64, 100) == 0.999


def test_decay_of_r3gans_batch_in_the_middle_of_its_schedule():
    ema = EMA(nn.Linear(1, 1), half_life=2.5e6, rampup=None)
    assert ema.decay(512, 10**7) == pytest.approx(0.9998580535, abs=1e-10)


def test_half_life_is_one():
    network = nn.Linear(1, 1, bias=False)
    ema = EMA(network, half_life=640, rampup=None)
    with torch.no_grad():
        network.weight.fill_(1.0)
        ema.module.weight.fill_(0.0)
    for update in range(10):
        ema.update(64, 64 * update)
    assert ema.module.weight.item() == pytest.approx(0.5, rel=1e-5)


def test_capturable_equals_plain():
    networks = [nn.Linear(4, 4) for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    averages = [EMA(n, half_life=300) for n in networks]
    averages[1].make_capturable()
    for update in range(5):
        noise = torch.randn(4, 4)
        for network, ema in zip(networks, averages, strict=True):
            with torch.no_grad():
                network.weight.add_(noise)
            ema.update(64, 64 * update)
    torch.testing.assert_close(*(list(e.module.parameters()) for e in averages))


def test_buffers_that_were_replaced_are_still_followed():
    network = nn.BatchNorm1d(3)
    ema = EMA(network, beta=0.5)
    network._buffers["running_mean"] = torch.ones(3)  # what `.to(device)` does
    ema.module._buffers["running_mean"] = torch.zeros(3)
    ema.update(1, 0)
    torch.testing.assert_close(ema.module.running_mean, torch.full((3,), 0.5))


@pytest.mark.parametrize(
    "options", [{"half_life": 0.0}, {"rampup": -1.0}, {"beta": 1.0}, {"half_life": None}]
)
def test_bad_options(options):
    with pytest.raises(ZooError, match="ema: "):
        EMA(nn.Linear(1, 1), **options)


def test_spectral_norms_follow_the_averaged_weight():
    """With the u and v of the trained weight, sigma of the average would be too small."""
    torch.manual_seed(0)
    shape = {"image_size": 8, "channels": 1, "latent_dim": 8, "base_channels": 8}
    generator = zoo.create("generator", "resnet", spectral_norm=True, **shape)
    ema = EMA(generator, beta=0.9)
    choices = [[torch.randn_like(p) for p in generator.parameters()] for _ in range(2)]
    for step in range(60):
        with torch.no_grad():
            for weight, value in zip(generator.parameters(), choices[step % 2], strict=True):
                weight.copy_(value)
        generator(torch.randn(2, 8))
        ema.update(1, step)
    layers = [m for m in ema.module.modules() if isinstance(m, DerivedWeight)]
    assert len(layers) == 5
    for layer in layers:
        matrix = layer.weight.flatten(1)
        sigma = torch.dot(layer.spectral_norm.u, matrix @ layer.spectral_norm.v)
        assert sigma >= 0.97 * torch.linalg.matrix_norm(matrix, 2)


def test_statistics_are_averaged_where_batch_norm_was_replaced():
    """As by Lightning under `trainer.sync_batchnorm`, before it moves the model to its device."""
    model = nn.ModuleDict({"generator": Network()})
    ema = EMA(model["generator"], beta=0.0)
    model["average"] = ema.module
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model).double()
    ema.bind(model["generator"])
    model["generator"].norm.running_mean.fill_(5)
    ema.update(8, 0)
    assert (model["average"].norm.running_mean == 5).all()


def test_an_equal_average_counts_its_updates_whatever_their_batch():
    network = nn.Linear(1, 1)
    ema = EMA(network, equal=True)
    for update in range(10):
        ema.update(10, 10 * update)
    assert ema.decay(100, 100) == pytest.approx(10 / 11)
