"""Every logger choice really logs: curves, and a labelled grid at the end of every epoch."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
from helpers_train import train
from PIL import Image

from zoo.core.errors import ZooError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """Two epochs of a conditional GAN with all loggers, without a W&B account."""
    out = tmp_path_factory.mktemp("many")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(out))
        patch.setenv("NETRC", str(out / "netrc"))
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.chdir(out)
        summary = train(
            out,
            "logger=many",
            "trainer.max_epochs=2",
            "model.conditional=true",
            "model/head=label_input",
            "model/regularizer=[r1]",
            "model.regularizer.r1.every=4",
        )
    return out, summary


def test_csv_has_every_curve(run):
    out, _ = run
    with open(out / "csv" / "version_0" / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [4, 8, 10, 12, 16, 20]
    assert [float(row["images_seen"]) for row in rows] == [64, 128, 160, 192, 256, 320]
    for name in ("loss_d", "loss_g", "score_real", "score_fake", "r1", "images_per_second"):
        assert all(float(row[name]) == float(row[name]) for row in rows if row[name]), name
        assert sum(bool(row[name]) for row in rows) >= 5, name


def test_tensorboard_has_curves_and_grids(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, _ = run
    (folder,) = (out / "tensorboard").glob("version_*")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"loss_d", "loss_g", "r1"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("loss_d")] == [4, 8, 10, 12, 16, 20]
    assert events.Tags()["images"] == ["samples"]


def test_wandb_logs_offline_and_says_how_to_upload(run):
    out, summary = run
    assert summary["W&B"].startswith("logged offline, because there is no W&B account")
    below = Path(summary["W&B"].rpartition("wandb sync ")[2])
    assert below.parts[0] == "wandb"  # from where the training ran, as the other paths of its end
    folder = out / below
    assert folder.is_dir()
    assert list(folder.glob("run-*.wandb"))
    pictures = list((folder / "files" / "media" / "images").glob("samples_*.png"))
    assert len(pictures) == 3  # at the start and after both epochs


def test_a_grid_after_every_epoch_has_a_column_per_class(run):
    out, _ = run
    grids = sorted((out / "samples").iterdir())
    assert [g.name for g in grids] == [f"images_{n:09d}.png" for n in (0, 160, 320)]
    width, height = Image.open(grids[-1]).size
    assert width / height > 3  # ten columns, two rows


def test_a_logger_that_does_not_exist_or_fails_is_told(tmp_path):
    with pytest.raises(ZooError, match=r"logger\.mine\._target_=os.system is not allowed"):
        train(tmp_path, "+logger.mine._target_=os.system")
    with pytest.raises(ZooError, match=r"logger\.mine\._target_=.* cannot be imported"):
        train(tmp_path, "+logger.mine._target_=pytorch_lightning.loggers.NoLogger")


def test_a_logger_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ZooError, match=r"needs tensorboard.*pip install 'gan-zoo\[tensorboard\]'"):
        train(tmp_path, "logger=tensorboard")


def test_training_without_a_logger_works(tmp_path):
    summary = train(tmp_path, "~logger.csv", "trainer.max_steps=4")
    assert "log" not in summary
    assert not (tmp_path / "csv").exists()
