"""One command spread over processes: joblib and submitit sweeps, torchrun, a shared search."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli.failures import error_sentence
from zoo.core.errors import ZooError
from zoo.registry import create
from zoo.training.processes import cluster_environment

ROOT = Path(__file__).parents[2]
TINY = [
    "trainer=cpu", "trainer.max_steps=2", "callbacks.progress=null", "callbacks.samples=null",
    "model/generator=mlp", "model/discriminator=mlp", "model.generator.width=8",
    "model.discriminator.width=8", "datamodule.image_size=8", "datamodule.batch_size=8",
    "datamodule.train_val_test_split=[80,0,0]",
]  # fmt: skip


def environment() -> dict[str, str]:
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "launcher",
    [["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], ["hydra/launcher=submitit_local"]],
)
def test_a_sweep_over_processes_ends_in_one_table(tmp_path, launcher):
    sweep = ["-m", *launcher, "model.lr_g=1e-4,2e-4", f"hydra.sweep.dir={tmp_path}/sweep"]
    printed = run([sys.executable, str(ROOT / "run.py"), *sweep, *TINY], tmp_path)
    hides = "hydra/launcher=submitit_local" in launcher
    assert ("the runs print to files in sweep/.submitit" in printed) == hides
    assert ("images_per_second" in printed.partition("| run |")[0]) != hides
    for number in "01":
        assert (tmp_path / "sweep" / number / "checkpoints/last.ckpt").is_file()
    table = (tmp_path / "sweep/comparison.md").read_text()
    assert "| 0   | 0.0001 |" in table
    assert "| 1   | 0.0002 |" in table


def torchrun(*arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += [f"--master-port={port}", str(ROOT / "run.py"), *TINY[1:], *arguments]
    return [*command, "trainer.accelerator=cpu", "hydra.run.dir=out"]


def test_torchrun_trains_one_model_with_two_processes(tmp_path):
    printed = run(torchrun("trainer=ddp"), tmp_path)
    assert printed.count("trained ") == 1
    assert "cpu × 2" in printed
    assert (tmp_path / "out/checkpoints/last.ckpt").is_file()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_torchrun_is_held_against_the_trainer_in_one_sentence(tmp_path):
    """Else each process would train a model of its own."""
    done = subprocess.run(
        torchrun(), cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 1
    sentence = "error: torchrun started 2 processes (2 on this node), but trainer.devices=1 with"
    assert done.stderr.count(sentence) == 1
    assert [*tmp_path.iterdir()] == []


def test_nodes_need_a_launcher(monkeypatch):
    for name in ("SLURM_JOB_ID", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ZooError, match=r"^trainer.num_nodes=2 needs a launcher .*torchrun"):
        cluster_environment({"devices": 2, "num_nodes": 2})
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")  # by hand, as Lightning's pages show
    assert cluster_environment({"devices": 2, "num_nodes": 2}) == []


SEARCHER = """
import sys, time
from pathlib import Path
from zoo.registry import create

out = Path(sys.argv[1])
task = create(
    "task", "tune", space=["model.lr_g=interval(0.1,1.0)"], trials=8, metric="loss",
    storage=sys.argv[2],
)
mine = []

def train(trial, run):
    time.sleep(0.05)
    value = trial.suggest_float("model.lr_g", 0.1, 1.0)
    trial.set_user_attr("overrides", [f"model.lr_g={value}"])
    mine.append(trial.number)
    return value

task._train = train
summary = task(out)
print(mine, summary["best"], sep=";")
"""


@pytest.mark.parametrize("storage", ["sqlite:///study.db", "study.log"])
def test_two_programs_search_together(tmp_path, storage):
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SEARCHER, f"out{i}", storage],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
        if (tmp_path / f"out{i}").mkdir() is None
    ]
    ends = [process.communicate(timeout=600)[0].strip().split(";") for process in started]
    assert [process.returncode for process in started] == [0, 0]
    trained = [number for mine, _ in ends for number in json.loads(mine)]
    assert sorted(trained) == list(range(8)), "each trial once, and no more than asked for"


def test_a_shared_search_for_another_figure_names_its_storage(tmp_path):
    storage = f"{tmp_path}/study.log"

    def search(metric: str) -> None:
        task = create("task", "tune", space=["a=1,2"], storage=storage, metric=metric)
        task._train = lambda trial, run: trial.set_user_attr("overrides", []) or 1.0
        task(tmp_path)

    search("loss_g")
    with pytest.raises(ZooError) as told:
        search("fid")
    assert str(told.value) == (
        f"the search in storage={storage} has metric=loss_g, not fid: continue it with that, or "
        "choose another storage."
    )


def test_a_storage_that_is_none(tmp_path):
    task = create("task", "tune", space=["a=1,2"], storage="nowhere://x")
    with pytest.raises(ZooError, match=r"storage=nowhere://x cannot be opened .*sqlite:///study"):
        task(tmp_path)


def test_a_database_whose_driver_is_not_installed(tmp_path, monkeypatch):
    for driver in ("psycopg", "psycopg2"):  # of SQLAlchemy 2.1, and before
        monkeypatch.setitem(sys.modules, driver, None)
    place = "postgresql://me:secret@127.0.0.1/search"
    task = create("task", "tune", space=["model.lr_g=interval(0.1,1.0)"], storage=place)
    with pytest.raises(
        ZooError, match=r"//me:\*\*\*@127\.0\.0\.1/search needs .* psycopg2?, which"
    ):
        task(tmp_path)


def test_a_launcher_without_a_cluster_says_so_in_a_sentence():
    errors = pytest.importorskip("submitit.core.utils")
    told = error_sentence(errors.FailedJobError("sbatch: error: no cluster here\n  Traceback: …"))
    assert told == (
        "the launcher could not run the sweep's jobs: sbatch: error: no cluster here (The folder "
        ".submitit of the sweep has what they printed.)"
    )
