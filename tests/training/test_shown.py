"""What a training shows in the terminal: bars of two kinds, a table of layers, what went wrong."""

from __future__ import annotations

import sys

import pytest
from helpers_train import TINY, configure, train

import zoo
from zoo.core.errors import ZooError
from zoo.training.trainer import make_callbacks

WITH_BARS = [o for o in TINY if not o.startswith("callbacks.progress")]


def test_the_last_bar_that_was_chosen_is_shown(tmp_path):
    config, _ = configure("+callback=[rich_progress,model_summary]")
    made = make_callbacks({str(k): dict(v) for k, v in config.callbacks.items()}, tmp_path)
    names = [type(c).__name__ for c in made]
    assert "Progress" not in names
    assert names[-2:] == ["RichProgress", "ModelSummary"]


def test_a_training_under_the_bar_of_rich_ends_and_goes_on(tmp_path, capsys):
    train(tmp_path, *WITH_BARS, "+callback=rich_progress", "trainer.max_epochs=1", tiny=False)
    summary = train(tmp_path, f"resume={tmp_path}", "trainer.max_epochs=2")
    assert summary["trained"].endswith(", 320 in total")
    assert "images/s" in capsys.readouterr().out


def test_the_bar_needs_rich(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ZooError, match=r"callback=rich_progress needs rich.*gan-zoo\[rich\]"):
        zoo.create("callback", "rich_progress")


def test_mlflow_needs_mlflow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ZooError, match=r"logger=mlflow needs mlflow.*gan-zoo\[mlflow\]"):
        train(tmp_path, "logger=mlflow")


@pytest.mark.parametrize(("depth", "row"), [(1, "generator"), (2, "generator.layers")])
def test_the_table_of_layers_is_printed_and_kept(tmp_path, capsys, depth, row):
    given = ("+callback=model_summary", f"callbacks.model_summary.max_depth={depth}")
    summary = train(tmp_path, *given, "trainer.max_steps=1")
    table = (tmp_path / "model.txt").read_text()
    assert table in capsys.readouterr().out
    assert f"| {row} " in table
    assert ("discriminator." in table) == (depth > 1)
    assert summary["model"] == str(tmp_path / "model.txt")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("loss_d", "discriminator 'mlp' under loss 'bce'"),
        ("r1", "regularizer 'r1'"),
        ("zcr_g", "regularizer 'zcr'"),
        ("class_loss", "the auxiliary losses of generator 'mlp' and discriminator 'mlp'"),
        ("class_loss_g", "the auxiliary losses of generator 'mlp' and discriminator 'mlp'"),
    ],
)
def test_a_value_is_told_of_the_part_that_gave_it(value, part):
    penalties = ["r1", "zcr"]
    gan = zoo.GAN("mlp", "mlp", "bce", penalties, image_size=8, channels=1, num_classes=3)
    assert gan._part_of(value) == part
