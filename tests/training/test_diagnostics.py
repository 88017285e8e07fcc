"""Symptoms of a failing training: seen where they are, silent where all is well."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from helpers_train import TINY, train
from torch import Tensor, nn

import zoo
from zoo.data.pixels import to_float
from zoo.parts.regularizers.gradient_penalty import slope_off
from zoo.training.callbacks.diagnostics import Diagnose
from zoo.training.symptoms import (
    Diagnostics,
    discriminator_saturated,
    diversity,
    generator_collapsed,
    gradient_norm,
    gradients_exploded,
    images_ran_away,
    mean_pairwise_distance,
    modes_lost,
    modes_scarce,
    start_gamma,
)


@pytest.mark.parametrize("loss", ["bce", "minimax", "lsgan", "hinge", "rpgan"])
def test_saturation_is_a_flat_loss(loss: str) -> None:
    part = zoo.create("loss", loss)
    goal = (1.0, 0.0) if loss == "lsgan" else (12.0, -12.0)
    sentence = discriminator_saturated(part, torch.full((8,), goal[0]), torch.full((8,), goal[1]))
    assert sentence is not None
    assert "D is saturated" in sentence
    assert "model.lr_d" in sentence
    assert "model/regularizer=fd_r1, fd_r2, finite_difference, r1, r2;" in sentence
    assert f"(model/augmentation={', '.join(zoo.list_parts('augmentation'))})" in sentence
    near = torch.tensor([0.3, -0.2, 0.1, 0.4])
    assert discriminator_saturated(part, near, near - 0.1) is None


def test_critics_never_saturate_and_a_losing_d_is_not_saturated() -> None:
    far = torch.full((8,), 50.0)
    assert discriminator_saturated(zoo.create("loss", "wgan"), far, -far) is None
    assert discriminator_saturated(zoo.create("loss", "bce"), -far, far) is None


def test_diversity_in_closed_form() -> None:
    square = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).view(4, 1, 1, 2)
    assert mean_pairwise_distance(square) == pytest.approx((4 + 2 * math.sqrt(2)) / 6)
    assert diversity(square / 2, square) == pytest.approx(0.5)
    # within classes: pairs (0, 1) and (2, 3), each at distance 1
    labels = torch.tensor([0, 0, 1, 1])
    assert diversity(square * 3, square, labels) == pytest.approx(3)
    assert diversity(square, square, torch.arange(4)) is None
    assert diversity(square, torch.ones_like(square)) is None  # a data set of one picture


def test_images_that_leave_the_range_of_the_real_ones() -> None:
    real = torch.tensor([-1.0, 1.0]).repeat(32).view(4, 1, 4, 4)
    sentence = images_ran_away(13 * real, real, {"fd_r1.gamma": 0.1}, start=0.0032)
    assert sentence is not None
    assert "spread 13.0 times as far as real ones, up to 13, where 1 is white" in sentence
    rule = "(start with 0.0002·H²/batch = 0.0032)"
    assert f"more of model.regularizer.fd_r1.gamma=0.1 {rule}" in sentence
    assert images_ran_away(2.9 * real, real) is None
    assert images_ran_away(real, real / 100) is None  # a bounded G on pale images


def test_a_generator_that_ignores_its_latents_is_found_within_classes() -> None:
    torch.manual_seed(0)
    labels = torch.arange(40) % 10
    real = torch.randn(40, 1, 8, 8)
    ten = torch.randn(10, 1, 8, 8)[labels] + 0.01 * torch.randn(40, 1, 8, 8)
    assert generator_collapsed(ten, real) is None
    sentence = generator_collapsed(ten, real, labels)
    assert sentence is not None
    assert "of one class" in sentence
    assert generator_collapsed(torch.zeros_like(real), real) is not None
    sentence = generator_collapsed(ten, real, labels, {"r1.gamma": 10.0, "r2.gamma": 0.5})
    assert (
        "Try less of model.regularizer.r1.gamma=10 and model.regularizer.r2.gamma=0.5 (start "
        "with 0.0002·" in sentence
    )
    assert generator_collapsed(torch.randn(40, 1, 8, 8), real, labels) is None


def test_gamma_starts_at_its_rule() -> None:
    """StyleGAN2-ADA's: 0.0002 · 256² / 32 = 0.4096; at 1024 and 32 it is 6.55."""
    assert start_gamma(256, 32) == pytest.approx(0.41)
    assert start_gamma(1024, 32) == pytest.approx(6.6)
    assert start_gamma(32, 64) == pytest.approx(0.0032)
    assert start_gamma((16, 64), 64) == pytest.approx(0.0032)  # as many pixels
    far = torch.full((8,), 12.0)
    told = discriminator_saturated(zoo.create("loss", "bce"), far, -far, None, 0.0032)
    assert "for gamma, start with 0.0002·H²/batch = 0.0032" in str(told)
    told = discriminator_saturated(zoo.create("loss", "bce"), far, -far, {"r1.gamma": 1e-4}, 0.0032)
    rule = "(start with 0.0002·H²/batch = 0.0032)"
    assert f"more of model.regularizer.r1.gamma=0.0001 {rule}" in str(told)


def test_slopes_and_gradients() -> None:
    assert slope_off(10 * 0.3**2, 10, 1) is None
    assert "0.8 away from 1" in str(slope_off(10 * 0.8**2, 10, 1))
    assert "away from 0" in str(slope_off(2 * 3.0**2, weight=2, center=0))
    assert gradients_exploded("D", 5.0, usual=1.0) is None
    assert gradients_exploded("D", 1e9, usual=0.0) is None
    assert "the training diverges" in str(gradients_exploded("D", 500.0, usual=1.0))
    assert "500 times its usual" in str(gradients_exploded("D", 500.0, usual=1.0))
    assert "model.lr_g" in str(gradients_exploded("G", math.inf, usual=0.0))
    layer = nn.Linear(2, 1, bias=False)
    assert gradient_norm(list(layer.parameters())) == 0
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    assert gradient_norm(list(layer.parameters())) == pytest.approx(5)


def test_lost_modes_are_named() -> None:
    counts = torch.full((10,), 50)
    assert modes_lost(counts) is None
    counts[[2, 7]] = torch.tensor([0, 4])
    sentence = modes_lost(counts, list("abcdefghij"))
    assert sentence is not None
    assert "c, h hardly occur" in sentence
    assert "(model/loss=afm, " in sentence  # of those whose G sees real images too
    assert "hinge" not in sentence
    assert modes_lost(counts, expected=torch.arange(10) < 2) is None
    assert "classes, 2 hardly" in str(modes_lost(counts, expected=torch.arange(10) < 3))
    many = torch.zeros(1000, dtype=torch.int64)
    many[0] = 1
    assert "and 989 more" in str(modes_lost(many))


def test_many_modes_are_judged_by_their_number() -> None:
    torch.manual_seed(0)
    every, most, half = (
        torch.randint(k, (2000,)).bincount(minlength=1000) for k in (1000, 960, 500)
    )
    assert modes_scarce(every) is None
    assert modes_scarce(most) is None
    assert re.search(
        r"2,000 .* cover 4\d\d of 1,000 modes, where 865 were", str(modes_scarce(half))
    )
    assert modes_scarce(half, before=500) is None
    assert "where there were 700 before" in str(modes_scarce(half, before=700))


def test_each_kind_speaks_once_per_epoch() -> None:
    notes = Diagnostics()
    assert notes.note(0, "D", None) is None
    assert notes.note(0, "D", "first") is not None
    assert notes.note(0, "D", "again") is None
    assert notes.note(0, "G", "other") is not None
    assert notes.note(1, "D", "next") is not None
    assert [f.sentence for f in notes.findings] == ["first", "other", "next"]


CALLBACK = ["callbacks.diagnostics.every_n_steps=3", "callbacks.diagnostics.after_images=0"]


def weights(run: Path) -> dict[str, Tensor]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def test_callback_tells_without_touching_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # spectral norm has buffers that every forward pass in training mode changes
    overrides = [o for o in TINY if "discriminator" not in o]
    overrides += ["model/discriminator=sn_cnn", "model.discriminator.base_channels=8"]
    overrides += ["trainer.max_epochs=2", "model.lr_g=1e-6"]
    train(tmp_path / "plain", *overrides, "callbacks.diagnostics=null", tiny=False)
    train(tmp_path / "watched", *overrides, *CALLBACK, tiny=False)
    findings = json.loads((tmp_path / "watched" / "diagnostics.json").read_text())
    # an untrained G draws noise, which does not read as ten digits
    assert {(0, "modes"), (1, "modes")} <= {(f["epoch"], f["kind"]) for f in findings}
    assert len({(f["epoch"], f["kind"]) for f in findings}) == len(findings)
    assert "epoch 0: modes are lost: of 10 classes" in capsys.readouterr().out
    plain, watched = weights(tmp_path / "plain"), weights(tmp_path / "watched")
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[k], watched[k]) for k in plain)


def test_a_resumed_training_keeps_what_was_told(tmp_path: Path) -> None:
    train(tmp_path, *CALLBACK, "trainer.max_epochs=1", "model.lr_g=1e-6")
    before = json.loads((tmp_path / "diagnostics.json").read_text())
    train(tmp_path, f"resume={tmp_path}", "trainer.max_epochs=2")
    after = json.loads((tmp_path / "diagnostics.json").read_text())
    assert before
    assert after[: len(before)] == before
    assert {f["epoch"] for f in after} == {0, 1}


class Module(SimpleNamespace):
    """What the callback looks at: networks on a plane of 8x8 pixels, and what they logged."""

    def __init__(
        self, loss: str = "bce", regularizers: tuple[Any, ...] = (), channels: int = 1, **given: Any
    ) -> None:
        shape = {"image_size": 8, "channels": channels, "num_classes": 0}
        part = zoo.create("loss", loss)
        super().__init__(
            **{
                "generator": zoo.create("generator", "mlp", latent_dim=8, width=8, **shape),
                "discriminator": zoo.create("discriminator", "mlp", width=8, **shape),
                "loss": part,
                "regularizers": nn.ModuleList([*part.regularizers(), *regularizers]),
                "shown": {},
                "images_seen": 10**6,
                "data": {},
                "device": torch.device("cpu"),
                **given,
            }
        )

    def discriminate(self, images: Tensor, labels: Tensor | None) -> SimpleNamespace:
        return SimpleNamespace(scores=self.discriminator(images, labels))


TRAINER: Any = SimpleNamespace(
    is_global_zero=True,
    current_epoch=0,
    progress_bar_callback=None,
    datamodule=SimpleNamespace(batch_size=64),
)


def test_a_gradient_that_explodes_after_a_resume_is_held_against_those_before(
    tmp_path: Path,
) -> None:
    module = Module()
    first, again = (Diagnose(str(tmp_path), 1) for _ in range(2))
    for network in (module.generator, module.discriminator):
        for weight in network.parameters():
            weight.grad = torch.full_like(weight, 1e-3)
    kinds(first, module, looks=5)
    again.load_state_dict(first.state_dict())
    assert "gradients G" not in kinds(again, module)
    for weight in module.generator.parameters():
        weight.grad.mul_(1e4)
    assert "gradients G" in kinds(again, module)
    Diagnose(str(tmp_path)).load_state_dict(
        {k: v for k, v in first.state_dict().items() if k != "norms"}  # an older checkpoint's
    )


def kinds(callback: Diagnose, module: Module, looks: int = 1) -> set[str]:
    batch = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for _ in range(looks):
        callback.on_train_batch_end(TRAINER, module, None, batch, 0)
    return {finding.kind for finding in callback.found.findings}


@pytest.mark.parametrize("loss", ["wgan_gp", "wgan"])
def test_callback_tells_of_a_penalty_that_does_not_hold(tmp_path: Path, loss: str) -> None:
    """The loss's own penalty and a given one, by the names they are logged under."""
    given = () if loss == "wgan_gp" else (zoo.create("regularizer", "dragan"),)
    name = "gradient_penalty" if loss == "wgan_gp" else "dragan"
    for penalty, told in ((10 * 0.3**2, False), (10 * 0.8**2, True)):
        module = Module(loss, given, shown={name: penalty})
        assert (name in kinds(Diagnose(str(tmp_path), 1), module)) == told


class Flat(zoo.Regularizer):
    """A penalty that no file of the zoo knows."""

    flattens = "pull"

    def __init__(self, pull: float) -> None:
        super().__init__()
        self.pull = pull

    def forward(self, update: Any) -> Tensor:
        return torch.zeros(())

    def diagnose(self, value: float) -> str | None:
        return f"{value} is too much."


def test_callback_tells_of_d_of_g_and_of_gradients(tmp_path: Path) -> None:
    def constant(value: Tensor) -> nn.Module:
        class Constant(nn.Module):
            num_classes = 0

            def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
                return value.expand(len(z), *value.shape)

            def sample_latent(self, n: int) -> Tensor:
                return torch.zeros(n, 8)

        return Constant()

    class Sees(nn.Module):
        """Tells ones from the rest without a doubt."""

        num_classes = 0

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return torch.where(x.flatten(1).mean(1) > 0.9, -20.0, 20.0)

    class Blind(nn.Module):
        """Takes all for the same."""

        num_classes = 0

        def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
            return 0 * x.flatten(1).mean(1)

    assert kinds(Diagnose(str(tmp_path), 1), Module()) == set()
    one_picture = constant(torch.ones(1, 8, 8))
    assert kinds(Diagnose(str(tmp_path), 1), Module(generator=one_picture)) == {"G"}
    certain = Module(generator=one_picture, discriminator=Sees())
    assert kinds(Diagnose(str(tmp_path), 1), certain) == {"G", "D"}
    certain.discriminator.head = SimpleNamespace(replaces_loss=True)  # that loss is not in force
    assert kinds(Diagnose(str(tmp_path), 1), certain) == {"G"}

    def advice(discriminator: nn.Module, gamma: float) -> str:
        r1 = zoo.create("regularizer", "r1", gamma=gamma)
        callback = Diagnose(str(tmp_path), 1)
        given = {"generator": one_picture, "discriminator": discriminator}
        kinds(callback, Module("bce", (r1,), **given))
        return next(f.sentence for f in callback.found.findings if f.kind == "G")

    blamed = "less of model.regularizer.r1.gamma=3 (start with 0.0002·H²/batch = 0.0002)"
    assert blamed in advice(Blind(), 3.0)
    plugin, blind = Flat(2.0), {"generator": one_picture, "discriminator": Blind()}
    callback = Diagnose(str(tmp_path), 1)
    kinds(callback, Module("bce", (plugin,), shown={"flat": 0.5}, **blind))
    told = {f.kind: f.sentence for f in callback.found.findings}
    assert "less of model.regularizer.flat.pull=2" in told["G"]
    assert told["flat"] == "0.5 is too much."
    assert blamed not in advice(Sees(), 3.0)
    assert "less of" not in advice(Blind(), 0.0)

    callback, module = Diagnose(str(tmp_path), 1), Module()
    for parameter in module.discriminator.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    assert kinds(callback, module, looks=5) == set()
    for parameter in module.discriminator.parameters():
        parameter.grad = torch.full_like(parameter, 1.0)
    assert kinds(callback, module) == {"gradients D"}


def test_callback_counts_the_modes_of_stacked_digits(tmp_path: Path) -> None:
    digits = zoo.create("datamodule", "mnist_subset", image_size=8).split("train")[0][:2000]

    class Stacks(nn.Module):
        """Three random digits among the first `kept` images."""

        num_classes, channels, kept = 0, 3, len(digits)

        def forward(self, z: Tensor, y: None) -> Tensor:
            return to_float(digits[torch.randint(self.kept, (len(z), 3)), 0])

        def sample_latent(self, n: int) -> Tensor:
            return torch.zeros(n, 8)

    generator = Stacks()
    data = {"name": "stacked_mnist", "num_classes": 0}
    module = Module(channels=3, generator=generator, data=data)
    callback = Diagnose(str(tmp_path), after_images=10**6)
    callback.on_train_start(TRAINER, module)
    torch.manual_seed(0)
    for epoch, kept in enumerate((len(digits), 4, len(digits))):
        generator.kept = kept
        trainer: Any = SimpleNamespace(**{**vars(TRAINER), "current_epoch": epoch})
        callback.on_train_batch_end(trainer, module, None, generator(torch.zeros(64, 8), None), 0)
        callback.on_train_epoch_end(trainer, module)
    told = [f for f in callback.found.findings if f.kind == "modes"]
    assert [f.epoch for f in told] == [1]
    assert "of 1,000 modes" in told[0].sentence
