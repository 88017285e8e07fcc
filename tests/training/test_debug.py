"""Presets for a look at a training: `debug=default`, `fdr`, `limit`, `overfit`, `profiler`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from helpers_train import configure, read, train
from omegaconf import OmegaConf
from pytorch_lightning.profilers import SimpleProfiler

from zoo.cli.overrides import check, normalise
from zoo.core.errors import ZooError
from zoo.data.loader import TrainLoader
from zoo.registry.places import CONFIGS
from zoo.training.lightning import NoProfiler
from zoo.training.profile import make_profiler
from zoo.training.trainer import _check_stays_here, make_trainer

PRESETS = sorted(p.stem for p in (CONFIGS / "debug").glob("*.yaml"))
ONLY_TELLS = "traceback"


def composed(*given: str) -> Any:
    return configure(*normalise(list(given)))[0]


def test_there_are_the_templates_names():
    assert {"default", "fdr", "limit", "overfit", "profiler"} < set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_holds_beside_an_experiment(preset):
    """Which has loggers, ends and devices of its own."""
    plain = composed("experiment=train_mnist_gan", "trainer=ddp_gpu", "callbacks=evaluate")
    config = composed(
        "experiment=train_mnist_gan", "trainer=ddp_gpu", "callbacks=evaluate", f"debug={preset}"
    )
    if preset == ONLY_TELLS:
        assert config == plain
        return
    assert config.debug == preset
    assert config.task_name == "debug"
    assert not config.get("logger")
    assert (config.trainer.devices, config.trainer.strategy) == (1, "auto")
    assert (config.trainer.max_epochs, config.trainer.max_steps) != (10, -1)
    assert config.model == plain.model


SETTING_CALLBACKS = sorted(
    file.stem
    for file in (CONFIGS / "experiment").glob("*.yaml")
    if "callbacks" in yaml.safe_load(file.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("experiment", SETTING_CALLBACKS)
def test_options_of_callbacks_that_a_preset_leaves_out_fall_away(experiment):
    config = check([f"experiment={experiment}", "debug=fdr"], CONFIGS)
    assert config is not None
    assert set(config.callbacks) == {"samples", "progress"}


def test_options_of_callbacks_that_are_not_chosen_are_told_without_a_preset():
    with pytest.raises(ZooError, match=r"callbacks\.evaluate names no callback"):
        check(["experiment=comparison", "callbacks=default"], CONFIGS)


def test_a_misspelt_option_of_the_trainer_is_told_by_all_that_it_has(tmp_path):
    data: Any = SimpleNamespace()
    with pytest.raises(ZooError, match="Did you mean 'ends_from_here'"):
        make_trainer({"ends_from_hear": True}, [], tmp_path, data)


def test_the_users_own_settings_hold_over_a_preset():
    given = ("debug=limit", "trainer.max_epochs=7", "callbacks=default", "logger=csv")
    config = composed(*given)
    assert config.trainer.max_epochs == 7
    assert "checkpoints" in config.callbacks
    assert "csv" in config.logger


@pytest.mark.parametrize(
    ("given", "preset"),
    [("debug=true", "default"), ("debug=True", "default"), ("debug=false", None),
     ("debug=null", None), ("debug=overfit", "overfit")],
)  # fmt: skip
def test_a_switch_is_the_default_preset_or_none(given, preset):
    config = check(normalise([given]), CONFIGS)
    assert config is not None
    assert config.get("debug") == preset


def test_one_step_is_the_whole_run(tmp_path, capsys):
    summary = train(tmp_path, "debug=fdr")
    assert summary["trained"].startswith("16 images")
    grids = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert grids == ["images_000000000.png", "images_000000016.png"]
    assert {p.name for p in tmp_path.iterdir()} == {"samples"}
    assert "note: debug=fdr writes no checkpoint" in capsys.readouterr().out


def test_a_limited_run_has_short_epochs(tmp_path):
    summary = train(tmp_path, "debug=limit")
    assert summary["trained"].startswith("240 images")  # 3 times 5 steps of 16
    assert len(list((tmp_path / "samples").iterdir())) == 4


def test_the_profilers_table_is_printed_and_kept(tmp_path, capfd):
    summary = train(tmp_path, "debug=profiler", "trainer.max_steps=3")
    kept = (tmp_path / "profile.txt").read_text()
    assert "run_training_epoch" in kept
    assert kept.strip() in capfd.readouterr().out
    assert summary["profile"] == str(tmp_path / "profile.txt")


@pytest.mark.parametrize("profiler", ["advanced", "pytorch"])
def test_other_profilers_keep_their_tables_too(tmp_path, profiler):
    train(tmp_path, "debug=profiler", "trainer.max_steps=2", f"trainer.profiler={profiler}")
    assert (tmp_path / "profile.txt").stat().st_size > 1000
    assert not list(tmp_path.glob("*profiler*.txt"))


def test_one_batch_comes_again_and_again(tmp_path, monkeypatch):
    seen: list[torch.Tensor] = []
    taken = TrainLoader._batch

    def watched(self, position):
        batch = taken(self, position)
        seen.append(batch[0].clone())
        return batch

    monkeypatch.setattr(TrainLoader, "_batch", watched)
    train(tmp_path, "debug=overfit", "trainer.max_steps=12", "model.d_steps=2",
          "datamodule.flip=true")  # fmt: skip
    assert len(seen) >= 12  # in two epochs
    assert all(torch.equal(batch, seen[0]) for batch in seen)
    assert len(seen[0]) == 32


def test_several_batches_come_in_turn_wherever_one_begins():
    images = torch.arange(40).view(-1, 1, 1, 1).to(torch.uint8)
    labels = torch.zeros(40, dtype=torch.int64)

    def first_three(position: int) -> list[list[int]]:
        loader = TrainLoader(images, labels, batch_size=8, position=position, repeated=2)
        return [batch[0].flatten().tolist() for batch, _ in zip(loader, range(3), strict=False)]

    one, two, three = first_three(0)
    assert one == three != two
    assert first_three(8) == [two, one, two]


@pytest.mark.parametrize("batches", ["0.5", "-1", "true"])
def test_batches_are_counted(tmp_path, batches):
    with pytest.raises(ZooError, match="overfit_batches"):
        train(tmp_path, f"+trainer.overfit_batches={batches}")


# A training that is continued ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of 15 steps in epochs of 10."""
    out = tmp_path_factory.mktemp("before") / "run"
    train(out, "trainer.max_steps=15", "tags=[first,second]")
    (out / ".hydra").mkdir()
    return out


@pytest.mark.parametrize(
    ("preset", "steps"), [("default", 5), ("fdr", 1), ("limit", 3 * 5), ("overfit", 4)]
)
def test_a_preset_goes_on_from_a_checkpoint_elsewhere(run, tmp_path, preset, steps):
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    given = (f"resume={run}", f"debug={preset}")
    config, overrides = configure(*given)
    assert not any(o.startswith("hydra.run.dir") for o in overrides)
    assert set(config.callbacks) == {"samples", "progress"}
    assert config.tags == ["first", "second"]
    summary = train(tmp_path, *given, *(["trainer.max_steps=4"] if preset == "overfit" else []))
    assert summary["trained"].startswith(f"{steps * 16} images")
    assert summary["trained"].endswith(f", {(15 + steps) * 16} in total")
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before


def test_ends_that_count_from_a_checkpoint_stay_where_they_are(tmp_path):
    """Of a training that was interrupted, and goes on to the end that it had."""
    train(tmp_path, "trainer.max_steps=5")
    train(tmp_path, f"resume={tmp_path}", "trainer.ends_from_here=true", "trainer.max_steps=7")
    assert read(tmp_path)["zoo"]["step"] == 12
    kept = read(tmp_path)["settings"]["values"]["trainer"]
    assert kept["max_steps"] == 12
    assert not kept.get("ends_from_here")
    assert train(tmp_path, f"resume={tmp_path}") == {}


@pytest.mark.parametrize(
    "given",
    [
        ["logger=wandb"],
        ["logger=mlflow", "logger.mlflow.tracking_uri=https://tracking.example"],
        ["+logger.comet._target_=pytorch_lightning.loggers.CometLogger"],
    ],
)
def test_nothing_goes_to_a_server_and_none_is_asked(tmp_path, monkeypatch, given):
    """A logger that is made has told its server of the run already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zoo.training.loggers.reason_to_stay_offline", lambda: "")

    def make(section, *_, **__):
        assert section != "logger", "it is made already"
        return []

    monkeypatch.setattr("zoo.training.trainer._make_all", make)
    with pytest.raises(ZooError, match=r"a debugging run \(debug=fdr\) does not send its log to a"):
        train(tmp_path / "run", "debug=fdr", *given)
    assert not [p for p in tmp_path.rglob("*") if p.name in ("wandb", "mlflow.db")]


@pytest.mark.parametrize("given", [["logger.wandb.offline=true"], []])
def test_a_log_that_stays_here_may_be_looked_at(monkeypatch, given):
    monkeypatch.setenv("WANDB_MODE", "online" if given else "offline")
    config = composed("debug=fdr", "logger=wandb", *given)
    _check_stays_here(OmegaConf.to_container(config.logger), "fdr")
    _check_stays_here(OmegaConf.to_container(composed("logger=many").logger), "fdr")


def test_the_first_process_alone_is_profiled(tmp_path, monkeypatch):
    """The table of another one was read while it was written, and then deleted."""
    assert isinstance(make_profiler("simple", tmp_path), SimpleProfiler)
    for name in ("LOCAL_RANK", "RANK"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "1")
            assert isinstance(make_profiler("simple", tmp_path), NoProfiler)


# Tags ---------------------------------------------------------------------------------------------


def test_tags_reach_the_log_the_checkpoint_and_go_on(run, tmp_path):
    kept = read(run)
    assert kept["zoo"]["tags"] == ["first", "second"]
    (hyperparameters,) = run.glob("csv/*/hparams.yaml")
    assert yaml.safe_load(hyperparameters.read_text())["tags"] == ["first", "second"]
    assert configure(f"resume={run}")[0].tags == ["first", "second"]
    assert configure(f"resume={run}", "tags=[new]")[0].tags == ["new"]


def test_a_runs_folder_is_named_by_its_task_unless_it_has_a_name():
    config = check(["task_name=study"], CONFIGS)
    assert config is not None
    assert str(config.hydra.run.dir).startswith("outputs/study/")
    config = check(["task=list"], CONFIGS)
    assert config is not None
    assert str(config.hydra.run.dir).startswith("outputs/list/")
