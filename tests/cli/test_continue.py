"""`resume=` on the command line: whose settings hold, in which folder, and from which files."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import make_checkpoint
from helpers_train import TINY, read, train
from hydra import compose, initialize_config_dir

from zoo.cli import overrides
from zoo.cli.resume import continue_run
from zoo.cli.store import CONFIGS, store_parts
from zoo.core.errors import ZooError
from zoo.registry.places import ROOT

SAVED = ["experiment=train_mnist_gan", "model.lr_g=1e-4", "seed=3"]
KEPT = ["model.lr_g=0.0001", "seed=3", "trainer.max_epochs=10", "model.conditional=true"]
"""Some of what these say, as values."""


def make_run(folder: Path, images_seen: int = 640, saved: list | None = None) -> Path:
    """A run's folder whose training ended after `images_seen` images."""
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    file = make_checkpoint(folder / "checkpoints" / "last.ckpt", images_seen=images_seen)
    content = torch.load(file, weights_only=True)
    content["zoo"]["overrides"] = SAVED if saved is None else saved
    torch.save(content, file)
    return file


def earlier(run: Path, images_seen: int) -> Path:
    """A numbered checkpoint of that run."""
    content = read(run)
    content["zoo"]["images_seen"] = images_seen
    file = run / "checkpoints" / f"images_{images_seen:09d}.ckpt"
    torch.save(content, file)
    return file


def run_py(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_the_runs_own_settings_come_first(tmp_path):
    """As values: of groups only those of parts, whose names are registered."""
    file = make_run(tmp_path)
    got = continue_run([f"resume={tmp_path}", "seed=4", "trainer.max_epochs=9"])
    assert got[-4:] == [
        f"hydra.run.dir='{tmp_path}'",
        f"resume='{file}'",
        "seed=4",
        "trainer.max_epochs=9",
    ]
    assert {"model.lr_g=0.0001", "model.conditional=true"} <= set(got)
    assert not any(o.startswith(("experiment=", "seed=3", "trainer.max_epochs=20")) for o in got)
    assert continue_run(["task=sample", "ckpt=x"]) == ["task=sample", "ckpt=x"]


def test_they_hold_for_the_runs_of_a_sweep_too(tmp_path):
    """Each of which has a folder of its own."""
    file = make_run(tmp_path)
    values = "model.lr_d=1e-4,1e-3"
    resume = f"resume='{file}'"
    for given in (["-m", f"resume={tmp_path}", values], [values, f"ckpt={tmp_path}", "-m"]):
        got = continue_run(given)
        assert {*KEPT, resume, values, "-m"} <= set(got)
        assert not any(o.startswith("hydra.run.dir") for o in got)
        assert not any(o.startswith("model.lr_d=") and o != values for o in got)
    with pytest.raises(ZooError, match="names several checkpoints, each with settings of its own"):
        continue_run(["-m", f"resume={tmp_path},{file}"])


def test_only_the_end_of_a_run_goes_on_in_its_folder(tmp_path):
    make_run(tmp_path, images_seen=640)
    place = f"hydra.run.dir='{tmp_path}'"
    assert place in continue_run([f"resume={earlier(tmp_path, 640)}"])  # a copy of the end
    before = earlier(tmp_path, 320)
    assert place not in continue_run([f"resume={before}"])
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(b"damaged")
    assert place not in continue_run([f"resume={before}"])


def test_a_training_is_not_replaced_by_another(tmp_path):
    store_parts()
    run = tmp_path / "my runs"
    file = make_run(run)
    before = earlier(run, 320)

    def check(*arguments: str) -> None:
        overrides.check(list(arguments), CONFIGS)

    place = f"hydra.run.dir='{run}'"
    with pytest.raises(ZooError, match=r"holds a training, .* with \"resume='.*my runs'\""):
        check(place)
    with pytest.raises(ZooError, match=r"last.ckpt would be replaced by a training that resumes"):
        check(place, f"resume='{before}'")
    check(place, f"resume='{file}'")
    check(place, "task=tune", "seed=1")
    sweep = f"hydra.sweep.dir='{tmp_path}'"
    check("-m", "seed=1,2", sweep)  # into folders named 0 and 1
    with pytest.raises(ZooError, match=r"my runs holds a training, which would be replaced"):
        check("-m", "seed=1,2", sweep, "hydra.sweep.subdir='my runs'")
    run.rename(tmp_path / "0")
    with pytest.raises(ZooError, match=r"0 holds a training, .* with hydra.sweep.dir="):
        check("-m", "seed=1,2", sweep)
    check("-m", "seed=1,2", sweep, "hydra.sweep.subdir=seed_${seed}")
    check("-m", "task=sample", "ckpt=mnist", "seed=1,2", sweep)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+hydra.callbacks.x={_target_:torch.hub.load,repo_or_dir:a}", "could run arbitrary code"),
        ("++ hydra.callbacks.x._target_=os.system", "could run arbitrary code"),
        ("hydra.run.dir=/tmp/elsewhere", "could run arbitrary code"),
        ("hydra.searchpath=[file:///tmp/elsewhere]", "could run arbitrary code"),
        ("hydra/launcher=basic", "could run arbitrary code"),
        ("+model/loss@hydra.callbacks.x=bce", "could run arbitrary code"),
        ("--config-dir=/tmp/elsewhere", "could run arbitrary code"),
        ("+callbacks.x={_target_:zoo.cli.main.write_json}", "names code to run: if you trust it"),
        (7, "that are not a list of strings"),
        ("experiment=../../x", "could run arbitrary code"),
        ("logger=../x", "could run arbitrary code"),
        ("callbacks=[default,../x]", "could run arbitrary code"),
        ("seed=${oc.env:HOME}", "could run arbitrary code"),
        ("+x=${oc.create:{a:1}}", "could run arbitrary code"),
        (
            "data_dir=/etc",
            "if that is right, add data_dir=/etc to the command",
        ),
        ("+callbacks.checkpoints.folder=../elsewhere", "says where to read or write"),
        ("+logger.csv.version='..'", "says where to read or write"),
        ("logger.csv.name=../../x", "says where to read or write"),
    ],
)
def test_hostile_overrides_are_not_followed(tmp_path, override, words):
    make_run(tmp_path, saved=[override])
    with pytest.raises(ZooError, match=words):
        continue_run([f"resume={tmp_path}"])


def test_a_hostile_callback_of_hydra_is_not_called(tmp_path):
    mark = tmp_path / "executed"
    evil = f"+hydra.callbacks.x={{_target_:os.mkdir,path:'{mark}'}}"
    make_run(tmp_path / "run", saved=[*TINY, evil])
    done = run_py("resume=run", "trainer.max_steps=1", cwd=tmp_path)
    assert done.returncode == 1
    assert "could run arbitrary code" in done.stderr
    assert not mark.exists()


def test_a_callback_is_trusted_when_it_is_given_again(tmp_path):
    again = "+callbacks.x._target_=zoo_plugins.a.B"
    make_run(tmp_path, saved=[again])
    assert again in continue_run([f"resume={tmp_path}", again])


def test_of_tasks_only_training_is_kept(tmp_path):
    make_run(tmp_path, saved=["hparams_search=optuna", "task.name=elsewhere", "task=train"])
    arguments = continue_run([f"resume={tmp_path}"])
    assert not any("task" in a.split("=")[0] or "hparams" in a for a in arguments)


def test_a_generator_alone_is_refused_before_its_settings_are_read(tmp_path):
    with pytest.raises(ZooError, match=r"no training to resume: .* for example task=sample"):
        continue_run(["ckpt=mnist"])
    content = torch.load(make_run(tmp_path, saved=["hydra.run.dir=x"]), weights_only=True)
    del content["zoo"]["step"]
    torch.save(content, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(ZooError, match="no training to resume"):
        continue_run([f"ckpt={tmp_path}"])


def test_an_earlier_checkpoint_goes_on_in_a_new_folder_and_tells_it(tmp_path):
    steps = ["trainer.max_epochs=2", "callbacks.checkpoints.every_n_images=160"]
    train(tmp_path / "run", *steps)
    (tmp_path / "run" / ".hydra").mkdir()
    files = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    done = run_py("resume=run/checkpoints/images_000000160.ckpt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    note = "note: run/checkpoints/images_000000160.ckpt is resumed in outputs/train/"
    assert note in done.stdout
    assert "; run stays unchanged.\n" in done.stdout
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == files
    (new,) = (tmp_path / "outputs" / "train").iterdir()
    assert read(new)["zoo"]["images_seen"] == 320


@pytest.mark.parametrize("place", ["run", "sweep"])
def test_trainings_that_start_together_have_folders_of_their_own(place):
    store_parts()
    folders = []
    for _ in range(2):
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            config = compose("config", return_hydra_config=True)
        folders.append(config.hydra[place].dir)
    assert folders[0] != folders[1]
