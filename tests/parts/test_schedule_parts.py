"""Schedules against R3GAN's published values, and what all of them keep to."""

from __future__ import annotations

import pytest
import torch
from helpers_train import read, train

import zoo
import zoo.registry as registry
from zoo.core.errors import ZooError
from zoo.training.ema import EMA
from zoo.training.schedules import Schedules, schedules_of

R3GAN_CIFAR = {  # start, end, and the value after 5e6 of 2e7 images
    "lr": (2e-4, 5e-5, 1.780330e-4),
    "gamma": (0.05, 0.005, 0.0434099),
    "beta2": (0.9, 0.99, 0.9131802),
    "half_life": (0.0, 5e6, 732233.0),
    "p": (0.0, 0.55, 0.0805456),
}
OPTIONS = {
    "constant": {"value": 3.0},
    "linear": {"start": 3.0, "end": 1.0, "images": 100},
    "cosine": {"start": 3.0, "end": 1.0, "images": 100},
}


@pytest.mark.parametrize("setting", R3GAN_CIFAR)
def test_the_cosines_of_r3gan(setting):
    start, end, quarter = R3GAN_CIFAR[setting]
    cosine = registry.create("schedule", "cosine", start=start, end=end, images=20_000_000)
    assert cosine(0) == start
    assert cosine(5_000_000) == pytest.approx(quarter, rel=1e-6)
    assert cosine(10_000_000) == pytest.approx((start + end) / 2, rel=1e-9)
    assert cosine(20_000_000) == cosine(30_000_000) == end


def test_linear():
    line = registry.create("schedule", "linear", start=0.1, end=0.0, images=1000)
    assert [line(n) for n in (0, 250, 1000, 5000)] == pytest.approx([0.1, 0.075, 0.0, 0.0])
    assert line(1000) == 0


def test_every_schedule_of_the_zoo_is_tested_here():
    own = {p.name for p in registry.REGISTRY.parts("schedule") if p.source == "zoo"}
    assert own == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_warm_up_rises_from_nothing_and_delays_the_rest(name):
    plain = registry.create("schedule", name, **OPTIONS[name])
    warmed = registry.create("schedule", name, warm_up=40, **OPTIONS[name])
    assert isinstance(plain, zoo.Schedule)
    assert [warmed(n) for n in (0, 10, 20)] == pytest.approx([0, 0.75, 1.5])
    assert warmed(40) == plain(0) == 3
    for n in (1, 25, 50, 99, 100, 1000):
        assert warmed(40 + n) == plain(n)
    with pytest.raises(ZooError, match="warm_up=-1"):
        registry.create("schedule", name, warm_up=-1, **OPTIONS[name])


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_an_end_is_reached_exactly_and_needs_images(name):
    assert registry.create("schedule", name, start=0.1, end=0.3, images=7)(7) == 0.3
    with pytest.raises(ZooError, match="images=0"):
        registry.create("schedule", name, start=1.0, end=0.0, images=0)


@pytest.mark.parametrize("name", ["ada", "apa"])
def test_a_probability_is_scheduled_or_moves_by_itself(name):
    def prepared(augment):
        rising = registry.create("schedule", "linear", start=0.0, end=1.0, images=100)
        parts = {f"augmentation.{name}": augment}
        Schedules({f"augmentation.{name}.p": rising}, (), parts=parts).prepare(25)
        return augment.p.item()

    assert prepared(registry.create("augmentation", name, adaptive=False)) == 0.25
    with pytest.raises(ZooError, match=rf"{name} adapts p by itself, .*\.{name}\.adaptive=false"):
        prepared(registry.create("augmentation", name))


def scheduled(out, **targets) -> list[dict]:
    """Adam's settings in the third update, 32 images in: G's, and D's with R1 in every 4th."""
    lines = ", ".join(
        f"{name}: {{name: linear, start: {start}, end: {end}, images: 64}}"
        for name, (start, end) in targets.items()
    )
    lazy = ["model/regularizer=r1", "model.regularizer.r1.every=4"]
    train(out, *lazy, f"model.schedules={{{lines}}}", "trainer.max_steps=3")
    return [state["param_groups"][0] for state in read(out)["optimizer_states"]]


def test_a_learning_rate_is_corrected_for_the_lazy_penalty_of_its_side(tmp_path):
    of_g, of_d = scheduled(tmp_path, lr_g=(1e-3, 3e-3), lr_d=(4e-3, 2e-3))
    assert of_g["lr"] == pytest.approx(2e-3)
    assert of_d["lr"] == pytest.approx(3e-3 * 4 / 5)


def test_betas_are_corrected_for_the_lazy_penalty_of_their_side(tmp_path):
    of_g, of_d = scheduled(tmp_path, beta1=(0.2, 0.6), beta2=(0.9, 0.98))
    assert of_g["betas"] == pytest.approx((0.4, 0.94))
    assert of_d["betas"] == pytest.approx((0.4 ** (4 / 5), 0.94 ** (4 / 5)))


WRONG = [  # target, schedule, what the sentence names
    ("lr_g", {"name": "linear", "start": 2e-4, "end": -1.0, "images": 100}, "lr_g=-1.0 .* 0 or"),
    ("beta1", {"name": "constant", "value": -0.5}, "beta1=-0.5 .* 0 or more and below 1"),
    ("beta2", {"name": "cosine", "start": 0.9, "end": 1.0, "images": 100}, "beta2=1.0 .* below 1"),
    ("ema_half_life", {"name": "constant", "value": -5.0}, "ema_half_life=-5.0 .* 0 or more"),
    ("regularizer.r1.gamma", {"name": "constant", "value": -1.0, "warm_up": 9}, "gamma=-1.0 .* 0"),
    ("regularizer.gan_qp.scale", {"name": "constant", "value": 1.0, "warm_up": 9}, "scale=0.0 .*"),
    ("augmentation.ada.p", {"name": "linear", "start": 0.0, "end": -1.0, "images": 9}, "p=-1.0 .*"),
]


@pytest.mark.parametrize(("target", "schedule", "named"), WRONG, ids=[w[0] for w in WRONG])
def test_what_may_not_be_is_not_scheduled_either(target, schedule, named):
    weight = torch.nn.Parameter(torch.ones(1))
    parts = {
        f"regularizer.{name}": registry.create("regularizer", name) for name in ("r1", "gan_qp")
    }
    parts["augmentation.ada"] = registry.create("augmentation", "ada", adaptive=False)
    options = dict(schedule)
    made = registry.create("schedule", options.pop("name"), **options)
    optimizers = [torch.optim.Adam([weight]) for _ in range(2)]
    ema = EMA(torch.nn.Linear(1, 1))
    with pytest.raises(ZooError, match=f"model.schedules: .*{named}"):
        Schedules({target: made}, optimizers, ema=ema, parts=parts)
    fine = registry.create("schedule", "constant", value=0.5)
    Schedules({target: fine}, optimizers, ema=ema, parts=parts).prepare(0)


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"lr_g": {"name": "cosin"}}, "model.schedules: lr_g: there is no schedule 'cosin'"),
        (
            {"r1": {"gamma": {"name": "cosine"}}},
            "model.schedules: r1.gamma: schedule 'cosine' needs",
        ),
    ],
)
def test_a_wrong_schedule_is_named_with_its_target(node, words):
    with pytest.raises(ZooError, match=words):
        schedules_of(node)
