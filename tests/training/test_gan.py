"""The LightningModule from Python: without Hydra, under every precision, with a flat memory."""

from __future__ import annotations

import gc
import inspect
import math
import re
import textwrap
import types
from typing import get_args, get_type_hints

import pytest
import pytorch_lightning as pl
import torch
from helpers_train import assert_same_training
from pytorch_lightning.plugins import MixedPrecision
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import zoo
from zoo.core.errors import ZooError
from zoo.data.pixels import to_float
from zoo.training.callbacks.checkpoints import Checkpoints
from zoo.training.gan import GAN
from zoo.training.optimizers import OPTIMIZERS
from zoo.training.window import NonFiniteError, Window

SHAPE = {"image_size": 8, "channels": 1, "num_classes": 10}


def make(**options) -> GAN:
    torch.manual_seed(0)
    return zoo.GAN(
        zoo.create(
            "generator", "mlp", **SHAPE, latent_dim=options.pop("latent_dim", 8), width=8, depth=1
        ),
        zoo.create("discriminator", "mlp", **SHAPE, width=8, depth=1),
        zoo.create("loss", options.pop("loss", "hinge"), **options.pop("loss_options", {})),
        **options,
    )


def make_data(batch_size: int = 16):
    return zoo.create(
        "datamodule",
        "mnist_subset",
        image_size=8,
        batch_size=batch_size,
        train_val_test_split=[160, 10, 10],
    )


def fit(gan: GAN, data=None, loader=None, **settings) -> pl.Trainer:
    defaults = {"logger": False, "enable_checkpointing": False, "accelerator": "cpu"}
    quiet = {"enable_progress_bar": False, "enable_model_summary": False}
    trainer = pl.Trainer(**{**defaults, **quiet, **settings})
    trainer.fit(gan, train_dataloaders=loader, datamodule=data)
    return trainer


def test_the_docstring_works_as_it_stands(tmp_path, monkeypatch):
    """Its code, on small pictures for one short epoch."""
    monkeypatch.chdir(tmp_path)
    code = re.search(r"\n\n( {4}gan = .*?)\n\nArgs:", inspect.getdoc(GAN), re.S)
    assert code is not None
    text = (
        textwrap.dedent(code[1])
        .replace("image_size=32", "image_size=8")
        .replace(
            '"mnist_subset"', '"mnist_subset", image_size=8, train_val_test_split=[640, 10, 10]'
        )
    )
    names: dict = {"zoo": zoo, "pl": pl}
    exec(text, names)
    assert names["images"].shape == (64, 1, 8, 8)
    assert names["gan"].images_seen == 2 * 640


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_any_loader_of_images_and_labels_trains(kind):
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 1, 8, 8), generator=random, dtype=torch.uint8)
    if kind == "float":
        images = images / 127.5 - 1
    loader = DataLoader(TensorDataset(images, torch.arange(40) % 10), batch_size=16)
    gan = make()
    trainer = fit(gan, loader=loader, max_epochs=2)
    assert gan.images_seen == 80  # with the last batch, which is smaller
    assert trainer.global_step == 6
    assert gan(torch.randn(3, 8), torch.tensor([1, 2, 3])).shape == (3, 1, 8, 8)


@pytest.mark.parametrize(
    ("batch", "sentence"),
    [
        (
            {"image": torch.zeros(4, 1, 8, 8)},
            r"the loader yields a dict as a batch: it must yield images \(N, C, H, W\), or pairs",
        ),
        ([], "the loader yields a list as a batch"),
        (
            torch.zeros(1, 1, 8, 8),
            "of 1 image leaves batch norm a single value .*drop_last",
        ),
    ],
)
def test_batches_that_cannot_be_trained_on_are_told(batch, sentence):
    gan = zoo.GAN("mlp", "mlp", "bce", image_size=8, channels=1)
    with pytest.raises(ZooError, match=sentence):
        fit(gan, loader=torch.utils.data.DataLoader([batch], batch_size=None), max_steps=1)


def test_parts_of_a_batch_that_are_too_small_are_told():
    gan = zoo.GAN("mlp", "mlp", "bce", image_size=8, channels=1, accumulate=4)
    loader = torch.utils.data.DataLoader([torch.zeros(4, 1, 8, 8)], batch_size=None)
    with pytest.raises(ZooError, match=r"of 4 images, split into accumulate=4 .*lower accumulate"):
        fit(gan, loader=loader, max_steps=1)


def test_the_average_follows_the_images_seen_through_smaller_batches():
    gan = make()
    loader = DataLoader(TensorDataset(torch.zeros(40, 1, 8, 8), torch.arange(40) % 10), 16)
    fit(gan, loader=loader, max_epochs=2)
    # The last update: 8 images after 72; five batches of 8 before it would have been 40.
    assert gan.ema._weight == 1 - gan.ema.decay(8, 72) != 1 - gan.ema.decay(8, 40)


def test_uint8_and_float_images_are_the_same_training():
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (32, 1, 8, 8), generator=random, dtype=torch.uint8)
    results = []
    for pictures in (images, to_float(images)):
        gan = make()
        loader = DataLoader(TensorDataset(pictures, torch.arange(32) % 10), batch_size=16)
        torch.manual_seed(1)
        fit(gan, loader=loader, max_epochs=1)
        results.append(gan.state_dict())
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name], value, rtol=0, atol=0)


def test_one_global_step_is_one_update_of_the_generator():
    gan, data = make(d_steps=3), make_data()
    trainer = fit(gan, data, max_steps=2)
    assert trainer.global_step == 2
    assert gan.images_seen == data.images_seen == 2 * 3 * 16


def test_lightnings_own_checkpoint_continues_to_the_same_weights(tmp_path):
    settings = {"enable_progress_bar": False, "accelerator": "cpu", "logger": False}
    settings |= {"enable_checkpointing": False, "enable_model_summary": False}
    for name, steps, file in (("whole", 7, None), ("part", 3, None), ("end", 7, "part.ckpt")):
        trainer = pl.Trainer(max_steps=steps, **settings)
        path = None if file is None else tmp_path / file
        torch.manual_seed(5)
        trainer.fit(make(), datamodule=make_data(), ckpt_path=path, weights_only=True)
        trainer.save_checkpoint(tmp_path / f"{name}.ckpt", weights_only=False)
    whole, end = (torch.load(tmp_path / f"{n}.ckpt", weights_only=True) for n in ("whole", "end"))
    assert_same_training(whole, end)


def test_a_network_of_ones_own_trains_and_its_checkpoint_continues(tmp_path):
    class Mine(zoo.Generator):
        def __init__(self, image_size, channels, latent_dim, num_classes=0):
            super().__init__(image_size, channels, latent_dim, num_classes)
            self.layer = nn.Linear(latent_dim, channels * image_size**2)

        def forward(self, z, y=None):
            shape = (-1, self.channels, self.image_size, self.image_size)
            return self.layer(z).tanh().view(shape)

    discriminator = zoo.create("discriminator", "mlp", image_size=8, channels=1, width=8)
    gan = zoo.GAN(Mine(8, 1, 4), discriminator, zoo.create("loss", "bce"))
    assert "Mine was not made by zoo.create" in gan.notes[0]
    trainer = fit(gan, make_data(), max_steps=2)
    trainer.save_checkpoint(tmp_path / "mine.ckpt", weights_only=False)
    again = zoo.GAN(Mine(8, 1, 4), discriminator, zoo.create("loss", "bce"))
    trainer = pl.Trainer(max_steps=4, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(again, datamodule=make_data(), ckpt_path=tmp_path / "mine.ckpt")
    assert again.images_seen == 64
    with pytest.raises(ZooError, match="needs the generator 'Mine'"):
        zoo.load(tmp_path / "mine.ckpt")


class Norms(pl.Callback):
    """Norms of the gradients as an optimizer is about to use them."""

    def __init__(self, before_clipping: bool = True):
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        gradients = [p.grad for g in optimizer.param_groups for p in g["params"]]
        self.seen.append(float(torch.cat([g.flatten() for g in gradients]).norm()))


def test_clipping_bounds_what_the_optimizer_gets():
    """Under SGD-like RMSprop it cannot be seen in the weights, so look at the gradients."""
    gan = make(clip_grad_norm=1e-3)
    gradients = []
    original = gan.on_before_optimizer_step

    def watch(optimizer):
        original(optimizer)
        weights = [p.grad.flatten() for g in optimizer.param_groups for p in g["params"]]
        gradients.append(float(torch.cat(weights).norm()))

    gan.on_before_optimizer_step = watch
    norms = Norms()
    fit(gan, make_data(), max_steps=3, callbacks=[norms])
    assert len(norms.seen) == len(gradients) == 6
    assert min(norms.seen) > 1e-3
    assert all(norm == pytest.approx(1e-3, rel=1e-2) for norm in gradients)


TRANSPORT = {"loss": "afm", "loss_options": {"transport": 0.2}, "latent_dim": 64}
"""It changes the images' gradient within the backward pass, where that is scaled."""


@pytest.mark.parametrize("options", [{}, TRANSPORT])
def test_a_gradient_scaler_changes_nothing_but_the_range(options):
    """fp16's scaler, on the processor and without autocast: the same updates as without it."""

    class Scaled(MixedPrecision):
        def autocast_context_manager(self):
            return torch.autocast("cpu", enabled=False)

    results = []
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)
    for plugins in ([], [Scaled("16-mixed", "cpu", scaler)]):
        gan, norms = make(clip_grad_norm=0.05, **options), Norms()
        torch.manual_seed(1)
        trainer = fit(gan, make_data(), max_steps=5, plugins=plugins, callbacks=[norms])
        assert trainer.global_step == 5
        results.append((gan.state_dict(), norms.seen))
    for name, value in results[0][0].items():
        torch.testing.assert_close(results[1][0][name], value, rtol=1e-4, atol=1e-6)
    assert results[1][1] == pytest.approx(results[0][1], rel=1e-4)  # unscaled before it is clipped
    assert scaler._growth_tracker == 10  # updated once for each of the ten updates


@pytest.mark.parametrize(("decay", "start"), [("linear", 0.0), ("linear", 0.5), ("cosine", 0.2)])
def test_learning_rates_decay_to_zero_over_the_training(decay, start):
    rates = []

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            rates.append([o.param_groups[0]["lr"] for o in trainer.optimizers])

    gan = make(lr_decay=decay, lr_decay_start=start, lr_g=1e-3, lr_d=2e-3)
    fit(gan, make_data(), max_steps=10, callbacks=[Watch()])
    for step, (rate_g, rate_d) in enumerate(rates):
        share = max(0.0, (step / 10 - start) / (1 - start))
        factor = 1 - share if decay == "linear" else (1 + math.cos(math.pi * share)) / 2
        assert rate_g == pytest.approx(1e-3 * factor)
        assert rate_d == pytest.approx(2e-3 * factor)


@pytest.mark.parametrize("decay", ["none", "linear"])
def test_adam_is_corrected_for_lazy_penalties_of_its_side(decay):
    regularizers = [
        zoo.create("regularizer", "r1", every=4),
        zoo.create("regularizer", "lecam", every=2),
        zoo.create("regularizer", "weight_clipping", every=8),  # no penalty
    ]
    gan = make(regularizers=regularizers, lr_g=1e-3, lr_d=2e-3, betas=[0.5, 0.9], lr_decay=decay)
    (note,) = gan.notes
    assert "since a penalty of the discriminator has every=4, its Adam uses" in note
    assert "lr=0.0016, betas=[0.5743, 0.9192] instead of lr=0.002, betas=[0.5, 0.9]" in note
    trainer = fit(gan, make_data(), max_steps=1)
    (group_g,), (group_d,) = (o.param_groups for o in trainer.optimizers)
    assert (group_g["lr"], group_g["betas"]) == (1e-3, (0.5, 0.9))
    assert group_d["lr"] == pytest.approx(2e-3 * 4 / 5)
    assert group_d["betas"] == pytest.approx((0.5 ** (4 / 5), 0.9 ** (4 / 5)))


def test_only_adam_is_corrected_and_only_for_lazy_penalties():
    once, lazy = (zoo.create("regularizer", "r1", every=k) for k in (1, 4))
    for gan in (make(regularizers=[once]), make(regularizers=[lazy], optimizer="rmsprop")):
        assert gan.notes == []
        assert [o.param_groups[0]["lr"] for o in gan.configure_optimizers()] == [2e-4, 2e-4]


def test_every_optimizer_takes_eps_and_weight_decay():
    options = get_args(get_type_hints(zoo.GAN.__init__)["optimizer"])
    assert set(options) == set(OPTIMIZERS)
    for optimizer in options:
        for made in make(optimizer=optimizer, eps=0.5, weight_decay=0.25).configure_optimizers():
            (group,) = made.param_groups
            assert (group["eps"], group["weight_decay"]) == (0.5, 0.25)


def test_decay_without_an_end_is_refused():
    with pytest.raises(ZooError, match=r"model.lr_decay=linear needs a training of known length"):
        fit(make(lr_decay="linear"), make_data(), max_epochs=-1, max_time="00:00:00:10")


def test_memory_stays_flat_over_many_steps():
    """After 100 and after 500 steps there are as many objects, and no list has grown."""
    counts = []

    class Count(pl.Callback):
        def on_train_batch_end(self, trainer, module, *_):
            if trainer.global_step in (100, 500):
                gc.collect()
                tensors = sum(isinstance(o, torch.Tensor) for o in gc.get_objects())
                counts.append((tensors, len(module._window)))

    gan = make(regularizers=[zoo.create("regularizer", "r1", every=4)])
    fit(gan, make_data(), max_steps=500, log_every_n_steps=50, callbacks=[Count()])
    assert counts[0][1] == counts[1][1] == 0
    assert counts[1][0] == pytest.approx(counts[0][0], abs=5)


def test_values_are_read_even_where_nobody_asks_for_them():
    gan = make()
    gan._window = Window(gan._part_of)
    trainer = fit(gan, make_data(), max_steps=20, log_every_n_steps=10**9)
    assert len(gan._window) == 0
    assert {"loss_d", "loss_g", "score_real", "score_fake"} <= trainer.callback_metrics.keys()


def test_images_that_come_alone_in_a_list_have_no_labels():
    loader = DataLoader(TensorDataset(torch.zeros(16, 1, 8, 8)), batch_size=16)
    with pytest.raises(ZooError, match="the first batch has no labels, but the networks need"):
        fit(make(), loader=loader, max_steps=1)
    plain = zoo.GAN("mlp", "mlp", "bce", image_size=8, channels=1)
    assert fit(plain, loader=loader, max_steps=1).global_step == 1


def test_a_window_means_and_names_what_is_not_finite():
    window = Window(lambda name: f"the part of {name}")
    assert window.means(0) == {}
    window.add({"a": torch.tensor(1.0), "b": torch.tensor(2.0)})
    window.add({"a": torch.tensor(3.0)})
    assert window.means(8) == {"a": 2.0, "b": 2.0}
    window.add({"a": torch.tensor(math.inf)})
    with pytest.raises(NonFiniteError, match=r"at step 9: a of the part of a is inf\."):
        window.means(9)
    window.clear()
    assert len(window) == 0


def test_best_is_kept_by_a_metric(tmp_path):
    """Whoever measures puts the value among the trainer's metrics and asks to keep the best."""
    scores = iter([3.0, 2.0, 5.0])
    kept = []
    checkpoints = Checkpoints(str(tmp_path), monitor="fid")

    class Score(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            trainer.callback_metrics["fid"] = torch.tensor(next(scores))
            checkpoints.save_if_best(trainer, module)
            best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
            kept.append(best["zoo"]["images_seen"])

    fit(make(), make_data(), max_epochs=3, callbacks=[Score(), checkpoints],
        enable_checkpointing=True)  # fmt: skip
    assert kept == [160, 320, 320]
    missing = Checkpoints(str(tmp_path), monitor="kid")
    trainer = pl.Trainer(logger=False, accelerator="cpu", callbacks=[missing])
    with pytest.raises(ZooError, match=r"monitor=kid is not logged; this training logs: "):
        missing.save_if_best(trainer, make())


def test_other_strategies_are_refused():
    from zoo.training.lightning import check_strategy

    class Odd:
        strategy = "an odd one"

    with pytest.raises(ZooError, match="use auto for one device or ddp for several"):
        check_strategy(Odd())


def test_lightning_is_answered_at_once(monkeypatch):
    """Its note of the running hook passes by `nn.Module`, and the signature is there to be read."""
    gan = make()
    monkeypatch.setattr(nn.Module, "__setattr__", None)
    gan._current_fx_name = "training_step"
    assert vars(gan)["_current_fx_name"] == "training_step"
    assert list(type(gan).training_step.__signature__.parameters) == ["self", "batch", "batch_idx"]


@pytest.mark.parametrize("owner", ["module", "data"])
def test_hooks_of_a_batchs_transfer_are_called_whoever_has_them(owner):
    """Their owner is looked up once in a training, and anew in the next one."""
    seen = []

    def hook(self, batch, dataloader_idx):
        seen.append((owner, self.trainer._results is not None))
        return batch

    gan, data = make(), make_data()
    fit(gan, data, max_steps=1)
    holder = gan if owner == "module" else data
    holder.on_after_batch_transfer = types.MethodType(hook, holder)
    fit(gan, data, max_steps=2)
    assert len(seen) == 2
