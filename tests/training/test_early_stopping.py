"""A training ends when its figures get no better, also in the middle of an epoch."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers_train import train

from zoo.core.errors import ZooError
from zoo.training.callbacks.base import Measures
from zoo.training.callbacks.early_stopping import EarlyStopping
from zoo.training.callbacks.evaluate import Evaluate

OPTIONS = (
    "callbacks=early_stopping",
    "callbacks.evaluate.every_n_images=32",  # two steps
    "callbacks.evaluate.every_n_epochs=null",
    "callbacks.early_stopping.patience=2",
)


@pytest.fixture
def figures(monkeypatch):
    """Figures that are measured, one after the other, in place of real ones."""
    values: list[float] = []

    def measure(self, trainer, pl_module):
        if pl_module.images_seen != self._evaluated:
            self._evaluated = pl_module.images_seen
            self.report(trainer, pl_module, {"fid": values.pop(0)})

    def begin(self, trainer, pl_module):
        self._seen = self._evaluated = pl_module.images_seen

    monkeypatch.setattr(Evaluate, "evaluate", measure)
    monkeypatch.setattr(Evaluate, "on_train_start", begin)
    return values


def test_it_ends_after_as_many_evaluations_without_a_better_figure(tmp_path, figures, capsys):
    figures += [5.0, 4.0, 4.5, float("nan"), 3.0]
    summary = train(tmp_path, *OPTIONS, "trainer.max_epochs=3")
    assert figures == [3.0]
    assert summary["trained"].startswith("128 images")  # 4 times 2 steps of 16
    assert "fid has not improved on 4 in 2 evaluations" in capsys.readouterr().out


def test_small_gains_do_not_count_and_high_can_be_better(tmp_path, figures):
    figures += [0.5, 0.55, 0.7, 0.75, 0.78, 0.9]
    own = "callbacks.early_stopping"
    options = (f"{own}.mode=max", f"{own}.min_delta=0.1", "callbacks.checkpoints.monitor=null")
    train(tmp_path, *OPTIONS, *options, "trainer.max_epochs=3")
    assert figures == [0.9]


def test_what_it_waited_for_goes_on_after_a_resume(tmp_path, figures):
    figures += [5.0, 4.0, 4.5, 4.4, 3.0]
    train(tmp_path, *OPTIONS, "trainer.max_steps=6")
    assert figures == [4.4, 3.0]
    summary = train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=20")
    assert figures == [3.0]
    assert summary["trained"].endswith(", 128 in total")


def test_a_stop_in_the_middle_of_an_epoch_goes_on_there(tmp_path, figures):
    figures += [float(i) for i in range(5, 40)]  # none is better than the first
    train(tmp_path, *OPTIONS, "trainer.max_epochs=3")
    more = ("trainer.max_epochs=3", "callbacks.early_stopping.patience=100")
    train(tmp_path, f"resume={tmp_path}", *more)
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert kept["global_step"] == 30  # 3 epochs of 10, as without the stop


class Foreign(Measures):
    """Measures something else, more often."""

    def on_train_batch_end(self, trainer, pl_module, *arguments):
        self.report(trainer, pl_module, {"speed": 1.0})


def test_figures_of_another_callback_are_not_waited_for():
    stopping = EarlyStopping(patience=1)
    trainer = SimpleNamespace(
        callbacks=[Foreign(), Evaluate("."), stopping], callback_metrics={"fid": 3.0},
        should_stop=False, is_global_zero=False,
    )  # fmt: skip
    stopping.on_figures(trainer, None, {"fid": 3.0})
    stopping.on_figures(trainer, None, {"speed": 1.0})
    assert not trainer.should_stop
    stopping.on_figures(trainer, None, {"fid": 3.0})
    assert trainer.should_stop


@pytest.mark.parametrize("metrics", ["null", "[point_modes]"])
def test_an_evaluation_without_the_figure_does_not_count(tmp_path, capsys, metrics):
    """As KL over the modes of points, while a new G hits none of them."""
    summary = train(
        tmp_path, "experiment=ring", "callbacks=early_stopping",
        "callbacks.evaluate.every_n_images=64", "callbacks.evaluate.n=50",
        f"callbacks.evaluate.metrics={metrics}", "callbacks.early_stopping.monitor=mode_kl",
        "callbacks.checkpoints.monitor=mode_kl", "callbacks.early_stopping.patience=1",
        "callbacks.diagnostics=null", "datamodule.batch_size=32", "trainer.max_steps=6",
        "model.lr_g=1e-9", tiny=False,
    )  # fmt: skip
    assert summary["trained"].startswith("192 images")
    assert "mode_kl is left out" in (tmp_path / "evaluations/images_000000192.json").read_text()
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()


def test_errors_in_words(tmp_path, figures):
    figures += [1.0] * 10
    with pytest.raises(ZooError, match="mode=low is not one of min, max"):
        EarlyStopping(mode="low")
    with pytest.raises(ZooError, match="patience=0 must be 1 or more"):
        EarlyStopping(patience=0)
    with pytest.raises(
        ZooError, match=r"kid is not measured\. Did you mean .fid.\? This training measures: fid"
    ):
        train(tmp_path / "a", *OPTIONS, "callbacks.early_stopping.monitor=kid")
    with pytest.raises(ZooError, match=r"fid is not measured\..*with callbacks=evaluate"):
        train(tmp_path / "b", *OPTIONS, "callbacks.evaluate=null")
