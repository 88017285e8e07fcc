"""A run's folder from somebody else writes nothing outside of itself."""

from __future__ import annotations

import os
import shutil

import pytest
from helpers_train import train

from zoo.cli.lock import NAME, locked
from zoo.cli.resume import continue_run
from zoo.core.errors import ZooError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign") / "run"
    train(folder, "trainer.max_steps=2")
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("mine")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        "csv/version_0/metrics.csv", "csv/version_0/hparams.yaml", "checkpoints/previous.ckpt",
        "samples", ".hydra/config.yaml", ".lock", "evaluations", "diagnostics.json",
    ],
)  # fmt: skip
def test_a_link_in_a_run_is_not_written_through(run, tmp_path, name):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    place = run / name
    place.parent.mkdir(exist_ok=True)
    kept = place.with_name("kept")
    if place.exists():
        place.rename(kept)
    place.symlink_to(mine)
    try:
        with pytest.raises(ZooError, match="is a link, and a training that is resumed here"):
            continue_run([f"resume={run}"])
    finally:
        place.unlink()
        if kept.exists():
            kept.rename(place)
    assert mine.read_text() == "precious"


def test_links_inside_of_a_run_are_its_own(run):
    """W&B makes them, also to files that are gone by now."""
    log = run / "wandb" / "offline-run-1"
    log.mkdir(parents=True)
    links = [run / "wandb" / "latest-run", run / "wandb" / "debug.log"]
    links[0].symlink_to("offline-run-1")
    links[1].symlink_to("offline-run-1/logs/debug.log")
    (log / "debug-core.log").symlink_to("/nowhere/wandb/logs/core-debug.log")
    assert continue_run([f"resume={run}"])
    links[1].unlink()
    links[1].symlink_to("../../debug.log")
    with pytest.raises(ZooError, match=r"wandb/debug\.log is a link"):
        continue_run([f"resume={run}"])
    shutil.rmtree(run / "wandb")


def test_a_pipe_in_a_run_is_not_waited_for(run):
    os.mkfifo(run / "csv" / "pipe")
    with pytest.raises(ZooError, match="pipe is not a regular file"):
        continue_run([f"resume={run}"])
    (run / "csv" / "pipe").unlink()
    assert f"hydra.run.dir={run}" in [a.replace("'", "") for a in continue_run([f"resume={run}"])]


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_a_lock_that_is_another_file(tmp_path, make):
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (tmp_path / "run").mkdir()
    make(mine, tmp_path / "run" / NAME)
    with pytest.raises(ZooError, match="lock"), locked(tmp_path / "run"):
        raise AssertionError
    assert mine.read_text() == "precious"


def test_a_lock_that_is_a_pipe(tmp_path):
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(ZooError, match="is not a training's lock file"), locked(tmp_path):
        raise AssertionError


def test_a_lock_that_was_removed_in_between_is_not_held(tmp_path, monkeypatch):
    """Its holder removes it at its end, while another has opened it already."""
    import zoo.cli.lock as module

    original = module._take

    def take(handle):
        (tmp_path / NAME).unlink()
        return original(handle)

    monkeypatch.setattr(module, "_take", take)
    with pytest.raises(ZooError, match="is in use by"), locked(tmp_path):
        raise AssertionError
    monkeypatch.undo()
    with locked(tmp_path):
        assert (tmp_path / NAME).is_file()
