"""Optimizers beside Adam, and equal averages of weights."""

from __future__ import annotations

import pytest
import torch
from helpers_train import assert_same_training, read, train

import zoo
from zoo.core.errors import ZooError
from zoo.training.ema import EMA
from zoo.training.optimizers import OptimisticAdam, adam


def test_two_steps_by_the_vector():
    """theta 1, eta 0.1, gradients 0.5 and 0.2 at betas (0.5, 0.999): 0.8, then 0.742404."""
    theta = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer = OptimisticAdam([theta], lr=0.1, betas=(0.5, 0.999), eps=1e-8)
    found = []
    for gradient in (0.5, 0.2):
        theta.grad = torch.full_like(theta, gradient)
        optimizer.step()
        found.append(theta.item())
    assert found == pytest.approx([0.8, 0.742404], abs=1e-6)


def test_a_bilinear_game_converges_where_adam_circles():
    """min over x, max over y of x y, both in steps at once; the only equilibrium is 0."""

    def end(make) -> float:
        x, y = (torch.nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (1.0, 0.5))
        one, other = make([x]), make([y])
        for _ in range(1000):
            x.grad, y.grad = y.detach().clone(), -x.detach().clone()
            one.step()
            other.step()
        return float(x.detach().square() + y.detach().square()) ** 0.5

    def plain(weights):
        return adam(weights, 0.05, (0.0, 0.999))

    def optimistic(weights):
        return OptimisticAdam(weights, lr=0.05, betas=(0.0, 0.999))

    assert end(optimistic) < 1e-6
    assert end(plain) > 2  # farther out than where it began


def test_an_equal_average_is_the_mean_of_all_weights_from_its_start_on():
    network = torch.nn.Linear(2, 1).double()
    average = EMA(network, half_life=None, start=50, equal=True)
    kept = []
    for update in range(12):
        with torch.no_grad():
            network.weight.normal_()
        average.update(20, 20 * update)
        if 20 * update >= 50:
            kept.append(network.weight.detach().clone())
            torch.testing.assert_close(average.module.weight, torch.stack(kept).mean(0))
        else:
            assert torch.equal(average.module.weight, network.weight)
    with pytest.raises(ZooError, match="needs half_life, beta, or equal=True"):
        EMA(network, half_life=None)


@pytest.mark.parametrize(
    "options",
    [
        ["model.optimizer=optimistic_adam"],
        ["model.average=swa", "model.ema_start=20"],
        ["model/regularizer=lookahead", "model.regularizer.lookahead.every=2"],
    ],
    ids=["optimistic", "swa", "lookahead"],
)
def test_resumed_as_if_it_had_never_stopped(options, tmp_path):
    train(tmp_path / "whole", *options, "trainer.max_steps=6")
    train(tmp_path / "halves", *options, "trainer.max_steps=3")
    train(tmp_path / "halves", f"resume={tmp_path / 'halves'}", "trainer.max_steps=6")
    assert_same_training(read(tmp_path / "whole"), read(tmp_path / "halves"))


def test_betas_that_the_optimizer_does_not_have_are_noted():
    options = {"image_size": 8, "channels": 1, "optimizer": "rmsprop"}
    assert zoo.GAN("mlp", "mlp", "bce", **options).notes == []
    (note,) = zoo.GAN("mlp", "mlp", "bce", betas=[0.0, 0.9], **options).notes
    assert note == "model.betas=[0.0, 0.9] has no effect: rmsprop has no betas."
