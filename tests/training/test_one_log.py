"""A continued run has one log, as if it had never stopped; its average comes and goes."""

from __future__ import annotations

import csv
import signal
import sys
from pathlib import Path

import pytest
import torch
from helpers_train import read, train

import zoo.training.gan
from zoo.cli.failures import Stopped, exit_with_sentence
from zoo.cli.resume import check_no_links
from zoo.core.errors import ZooError
from zoo.training.loggers import (
    CSVLogger,
    TensorBoardLogger,
    WandbLogger,
    reason_to_stay_offline,
)
from zoo.training.window import NonFiniteError


@pytest.fixture(autouse=True)
def _no_open_wandb_run():
    yield
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


def rows(run: Path) -> list[dict[str, str]]:
    """Of the one log in a run's folder, without what a clock says."""
    (file,) = run.glob("csv/*/metrics.csv")
    with file.open(newline="") as lines:
        found = list(csv.DictReader(lines))
    return [{k: v for k, v in row.items() if k != "images_per_second"} for row in found]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 25 steps, with a row every 4 and at the ends of epochs of 10."""
    out = tmp_path_factory.mktemp("whole")
    train(out, "trainer.max_steps=25")
    return out


@pytest.mark.parametrize("stop", [3, 7, 10, 14])
def test_the_log_is_that_of_a_run_that_never_stopped(whole, tmp_path, stop):
    """Also where it stops within a window: the row of that is taken off, its values are kept."""
    train(tmp_path, f"trainer.max_steps={stop}")
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=25")
    assert [row["step"] for row in rows(whole)] == ["4", "8", "10", "12", "16", "20", "24", "25"]
    assert rows(tmp_path) == rows(whole)


def test_rows_behind_the_checkpoint_are_cut(whole, tmp_path):
    """As after a kill: the log is longer than the checkpoint, and its last row is half-written."""
    train(tmp_path, "trainer.max_steps=14")
    (file,) = tmp_path.glob("csv/*/metrics.csv")
    with file.open("a") as log:
        log.write(file.read_text().splitlines()[-1].replace(",14,", ",16,") + "\n")
        log.write("0,1,2")
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=25")
    assert rows(tmp_path) == rows(whole)


def test_figures_at_the_resumed_step_stay(tmp_path):
    """Only means over a part of a window are taken off."""
    log = CSVLogger(str(tmp_path))
    for step, row in ((4, {"images_per_second": 1.0}), (7, {"fid": 2.0}), (8, {"fid": 3.0}),
                      (7, {"images_per_second": 1.0})):  # fmt: skip
        log.log_metrics(row, step)
    log.save()
    again = CSVLogger(str(tmp_path))
    again.go_on(step=7, logged=4)
    again.log_metrics({"images_per_second": 5.0, "new": 1.0}, 8)
    again.save()
    with (tmp_path / "csv" / "version_0" / "metrics.csv").open(newline="") as lines:
        kept = list(csv.DictReader(lines))
    assert [(r["step"], r["fid"], r["new"]) for r in kept] == [
        ("4", "", ""), ("7", "2.0", ""), ("8", "", "1.0"),
    ]  # fmt: skip


def test_tensorboard_and_wandb_go_on_in_their_logs(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("WANDB_MODE", "offline")
    train(tmp_path, "logger=many", "trainer.max_steps=14")
    check_no_links(tmp_path)  # as the command line does
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=25")
    (folder,) = (tmp_path / "tensorboard").glob("version_*")
    events = EventAccumulator(str(folder))
    events.Reload()
    assert [e.step for e in events.Scalars("loss_d")] == [4, 8, 10, 12, 14, 16, 20, 24, 25]
    runs = {p.name.rpartition("-")[2] for p in (tmp_path / "wandb").glob("offline-run-*")}
    assert len(runs) == 1


def test_tensorboard_keeps_figures_at_the_resumed_step(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def log(logger, *figures):
        for step, fid in figures:
            logger.log_metrics({"fid": fid}, step)
        logger.finalize("success")

    log(TensorBoardLogger(str(tmp_path)), (4, 1.0), (7, 2.0), (8, 3.0))
    again = TensorBoardLogger(str(tmp_path))
    again.go_on(step=7, logged=4)
    log(again, (8, 5.0))
    events = EventAccumulator(again.log_dir)
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("fid")] == [(4, 1.0), (7, 2.0), (8, 5.0)]


@pytest.mark.parametrize(
    ("first", "then", "words", "average"),
    [
        ([], ["model.ema_half_life=null"], "averaged weights of the checkpoint are dropped", False),
        (["model.ema_half_life=null"], ["model.ema_half_life=10000"], "starts at its", True),
        (["model.ema_half_life=null"], ["model.ema_beta=0.99"], "starts at its weights", True),
        ([], ["model.ema_beta=0.99", "model.ema_half_life=null"], "", True),
        (["model.ema_half_life=null"], [], "", False),
    ],
)
def test_the_average_is_switched_on_or_off_at_a_resume(
    tmp_path, capsys, first, then, words, average
):
    train(tmp_path, "trainer.max_steps=2", *first)
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=3", *then)
    printed = capsys.readouterr().out
    assert words in printed
    assert ("averaged weights" in printed) == bool(words)
    assert any(k.startswith("ema_generator.") for k in read(tmp_path)["state_dict"]) == average


# Ends ---------------------------------------------------------------------------------------------


def _interrupt(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> None:
    original = zoo.training.gan.GAN.training_step

    def interrupting(self, batch, index):
        if self._updates == 2:
            for number in numbers:
                signal.raise_signal(number)
        original(self, batch, index)

    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", interrupting)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("SIGTERM",), "stopped by SIGTERM, with which batch systems and containers end a program"),
        (("SIGHUP", "SIGTERM"), "stopped by SIGHUP, since the terminal was closed"),
        (("SIGUSR1", "SIGTERM"), "stopped by SIGUSR1, with which SLURM warns"),
    ],
)
def test_signals_save_and_tell(tmp_path, monkeypatch, capsys, names, words):
    """The first one counts, since several may come together."""
    _interrupt(monkeypatch, *(getattr(signal, name) for name in names))
    before = [signal.getsignal(getattr(signal, name)) for name in names]
    with pytest.raises(SystemExit) as ended, exit_with_sentence():
        train(tmp_path, "trainer.max_steps=25")
    assert ended.value.code == 143
    assert read(tmp_path)["zoo"]["step"] == 3
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(words)
    assert f"; the training is saved, resume it with: python run.py resume={tmp_path}" in told
    assert [signal.getsignal(getattr(signal, name)) for name in names] == before


def test_a_hang_up_that_is_ignored_stays_so(tmp_path, monkeypatch):
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        _interrupt(monkeypatch, signal.SIGHUP)
        train(tmp_path, "trainer.max_steps=4")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert read(tmp_path)["zoo"]["step"] == 4


def test_ctrl_c_is_130():
    assert Stopped(signal.SIGINT).code == 130
    again = "stopped by Ctrl-C; run the same command to start again."
    assert str(Stopped(signal.SIGINT)) == again
    assert str(Stopped(signal.SIGINT, "x")) == "stopped by Ctrl-C; resume with: x"


def test_advice_speaks_of_a_checkpoint_only_where_there_is_one(tmp_path, monkeypatch):
    original = zoo.training.gan.GAN.training_step

    def spoiling(self, batch, index):
        original(self, batch, index)
        if self._updates >= 13:
            with torch.no_grad():
                next(self.generator.parameters()).fill_(float("nan"))

    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", spoiling)
    with pytest.raises(NonFiniteError) as caught:
        train(tmp_path / "a", "trainer.max_epochs=2")
    assert " The last good weights are in " in str(caught.value)
    with pytest.raises(NonFiniteError) as caught:
        train(tmp_path / "b", "trainer.max_epochs=2", "callbacks.checkpoints=null")
    assert "from before" not in str(caught.value)


# Lightning's switches and W&B ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (["+trainer.enable_checkpointing=false"], "contradicts a callback: set callbacks.checkp"),
        (["callbacks.progress={_target_:zoo.training.callbacks.progress.Progress}",
          "+trainer.enable_progress_bar=false"], "set callbacks.progress=null instead"),
        (["+callbacks.stop={_target_:pytorch_lightning.callbacks.EarlyStopping,monitor:fid}",
          "trainer.max_epochs=2"], "needs the metric 'fid', which is not logged"),
        (["+callbacks.x={_target_:zoo.training.ends.longer}"], "ends has no longer"),
        (["+callbacks.x={_target_:pytorch_lightning.callbacks.timer.timedelta}"],
          "is not a Lightning Callback"),
        (["+logger.x={_target_:zoo.load}"], "is not a Lightning Logger"),
        (["logger=wandb", "logger.wandb.project=a/b"], "is not a valid project name"),
        (["logger=wandb", "logger.wandb.offline=false"], "offline=false is not possible, because"),
    ],
)  # fmt: skip
def test_switches_that_contradict_are_told(tmp_path, monkeypatch, override, words):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(ZooError) as caught:
        train(tmp_path, *override)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_is_made_before_all_classes_are_checked(tmp_path):
    with pytest.raises(ZooError, match="is not a Lightning Callback"):
        train(tmp_path, "+callbacks.x={_target_:zoo.load}")
    assert not (tmp_path / "samples").exists()


def test_the_profiler_prints_its_table(tmp_path, capfd):
    train(tmp_path, "trainer.max_steps=2", "+trainer.profiler=simple")
    printed = capfd.readouterr()
    assert "run_training_epoch" in printed.out + printed.err


def test_a_quick_run_says_nothing_of_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "W&B" not in train(tmp_path, "logger=many", "+trainer.fast_dev_run=true")


def test_wandb_is_not_asked_for_what_it_no_longer_has(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert reason_to_stay_offline() == "WANDB_MODE is offline"
    assert "anonymous" not in WandbLogger(str(tmp_path))._wandb_init


def test_the_last_row_of_a_training_that_is_over_stays(tmp_path):
    """It was killed between its last checkpoint and its end: nothing is trained again."""
    train(tmp_path, "trainer.max_steps=6")
    file = tmp_path / "csv" / "version_0" / "metrics.csv"
    before = file.read_bytes()
    assert train(tmp_path, f"resume={tmp_path}") == {}
    assert file.read_bytes() == before
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=8")
    with file.open(newline="") as lines:
        steps = [row["step"] for row in csv.DictReader(lines)]
    assert steps == ["4", "8"]  # as if it had not ended at 6
