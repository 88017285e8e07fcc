"""What ends a training from outside, or by itself: told in a sentence, and nothing is lost."""

from __future__ import annotations

import csv
import errno
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers_train import assert_same_training, configure, read, start, train, wait_until

import zoo.training.gan
from zoo.cli.jobs import run_task
from zoo.core.errors import OwnError, ZooError
from zoo.core.faults import is_disk_full, is_lost_peer, is_out_of_memory, smaller_batch
from zoo.registry.places import ROOT
from zoo.training.loggers import _cut, _Writer
from zoo.training.window import NonFiniteError

CALLBACKS = '''
"""Callbacks for the tests beside which they are written."""

import os

import pytorch_lightning as pl
import torch


class Poison(pl.Callback):
    """Weights of G become NaN at a step, as long as the learning rates are too high."""

    def __init__(self, step, below=1.0):
        self.step, self.below = step, below

    def on_train_batch_end(self, trainer, module, *_):
        if trainer.global_step == self.step and module.lr_factor >= self.below:
            with torch.no_grad():
                next(module.generator.parameters()).fill_(float("nan"))


class Process(pl.Callback):
    """Writes down the number of each process."""

    def __init__(self, place):
        self.place = place

    def on_train_batch_end(self, trainer, module, *_):
        with open(os.path.join(self.place, f"rank{trainer.global_rank}"), "w") as file:
            file.write(str(os.getpid()))
'''


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The target of the callbacks above, for the processes that run in this test file."""
    folder = tmp_path_factory.mktemp("faults") / "plugins"
    folder.mkdir()
    (folder / "faulty.py").write_text(CALLBACKS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_PLUGINS", str(folder))
        yield f"zoo_plugins.{folder.parent.name}_plugins.faulty"


def log_of(run: Path) -> list[dict[str, str]]:
    with (run / "csv" / "version_0" / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def poisoned(step: int, below: float = 1.0):
    """The step of the GAN, after which weights become NaN at a step of high learning rates."""
    original = zoo.training.gan.GAN.training_step

    def training_step(self, batch, index):
        original(self, batch, index)
        if self._updates == step and self.lr_factor >= below:
            with torch.no_grad():
                next(self.generator.parameters()).fill_(float("nan"))

    return training_step


# NaN


def test_nan_goes_back_to_the_last_checkpoint_at_half_the_rates(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", poisoned(13, 0.5))
    rolled = ["on_nan=rollback", "trainer.max_steps=25"]
    train(tmp_path / "run", *rolled)
    told = capsys.readouterr().out
    assert "note: training stopped at step 14: " in told
    assert (
        "last.ckpt with half the learning rates, model.lr_factor=0.5 (rollback 1 of at most 3"
        in told
    )
    assert "model.lr_factor=0.25 (rollback 2 of at most 3" in told
    run = read(tmp_path / "run")
    assert run["zoo"]["step"] == 25
    assert [o["param_groups"][0]["lr"] for o in run["optimizer_states"]] == [2.5e-4, 1.25e-4]
    # As if the checkpoint of step 10 had been continued so by hand.
    monkeypatch.undo()
    train(tmp_path / "hand", "trainer.max_steps=10")
    train(tmp_path / "hand", f"resume={tmp_path / 'hand'}", *rolled, "model.lr_factor=0.25")
    assert_same_training(run, read(tmp_path / "hand"))
    rows = log_of(tmp_path / "run")
    assert [(r["step"], r["rollbacks"], r["lr_factor"]) for r in rows if r.get("rollbacks")] == [
        ("10", "1", "0.5"), ("10", "2", "0.25")
    ]  # fmt: skip
    means = [r["step"] for r in rows if r["loss_g"]]
    assert means == [r["step"] for r in log_of(tmp_path / "hand") if r["loss_g"]]
    # What continues it keeps the rates, and what to do about NaN.
    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", poisoned(27, 0.25))
    train(tmp_path / "run", f"resume={tmp_path / 'run'}", "trainer.max_steps=30")
    rates = [o["param_groups"][0]["lr"] for o in read(tmp_path / "run")["optimizer_states"]]
    assert rates == [1.25e-4, 6.25e-5]


def test_rollbacks_come_to_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", poisoned(13, 0.0))
    with pytest.raises(NonFiniteError, match=r"rolled back 2 times.* last good weights are in"):
        train(tmp_path, "on_nan=rollback", "max_rollbacks=2", "trainer.max_steps=25")
    assert read(tmp_path)["zoo"]["step"] == 10


def test_nan_before_the_first_checkpoint_begins_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", poisoned(5))
    train(tmp_path, "on_nan=rollback", "trainer.max_steps=12")
    assert "Going back to the start" in capsys.readouterr().out
    assert read(tmp_path)["zoo"]["step"] == 12
    steps = [r["step"] for r in log_of(tmp_path) if r["loss_g"]]
    assert steps == ["4", "8", "10", "12"]


def test_what_rollback_needs(tmp_path):
    with pytest.raises(ZooError, match=r"keep callbacks\.checkpoints"):
        train(tmp_path, "on_nan=rollback", "callbacks.checkpoints=null")
    with pytest.raises(ZooError, match="on_nan"):
        train(tmp_path, "on_nan=ignore")
    with pytest.raises(ZooError, match="max_rollbacks=0 must be 1 or more"):
        train(tmp_path, "max_rollbacks=0")


def test_a_scheduled_learning_rate_is_halved_too(tmp_path):
    schedule = "model.schedules={lr_g:{name:constant,value:0.001}}"
    train(tmp_path, schedule, "model.lr_factor=0.5", "trainer.max_steps=2")
    assert read(tmp_path)["optimizer_states"][0]["param_groups"][0]["lr"] == 5e-4


def test_all_processes_go_back_together(tmp_path, plugin):
    process = start(
        tmp_path / "run", "trainer=ddp", "trainer.accelerator=cpu", "on_nan=rollback",
        f"+callbacks.poison._target_={plugin}.Poison", "+callbacks.poison.step=13",
        "trainer.max_steps=15",
    )  # fmt: skip
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, output + errors
    assert output.count("Going back to") == output.count("against") == 1
    assert read(tmp_path / "run")["zoo"]["step"] == 15
    rates = [o["param_groups"][0]["lr"] for o in read(tmp_path / "run")["optimizer_states"]]
    assert rates == [5e-4, 2.5e-4]


def test_they_go_back_to_one_checkpoint_when_each_named_its_own_folder(tmp_path, plugin):
    """As torchrun and srun start them: the folder's name has the second of each one's start."""
    process = start(
        tmp_path / "run${oc.env:RANK}", "trainer=ddp", "trainer.accelerator=cpu",
        "on_nan=rollback", f"+callbacks.poison._target_={plugin}.Poison",
        "+callbacks.poison.step=13", "trainer.max_steps=15",
        by=("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
    )  # fmt: skip
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, output + errors
    assert read(tmp_path / "run0")["zoo"]["step"] == 15
    assert output.count("Going back to") == 1
    assert [folder.name for folder in tmp_path.iterdir()] == ["run0"]


# Memory


def test_a_failed_allocation_is_told_apart():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
    assert is_disk_full(OSError(errno.ENOSPC, "No space left on device"))
    assert not is_disk_full(OSError(errno.EACCES, "Permission denied"))
    assert is_lost_peer(RuntimeError("[/gloo/pair.cc] Connection closed by peer [127.0.0.1]:1"))
    assert [smaller_batch(*a) for a in ((64, 1), (64, 24), (3, 1), (1, 1), (4, 4))] == [
        32, 24, 1, None, None
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "options", "words"),
    [
        (None, [], ".*=16: try datamodule.batch_size=8, or model.accumulate=2 for"),
        (MemoryError(), ["model.accumulate=2"], ".*batch_size=8, or model.accumulate=4 for"),
        (torch.OutOfMemoryError("CUDA out of memory."), ["datamodule.batch_size=1"],
         "datamodule.batch_size=1: a smaller batch is not possible"),
    ],
)  # fmt: skip
def test_no_memory_names_the_next_smaller_batch(tmp_path, monkeypatch, error, options, words):
    def training_step(self, batch, index):
        if error is not None:
            raise error
        torch.empty(2**50, dtype=torch.uint8)

    monkeypatch.setattr(zoo.training.gan.GAN, "training_step", training_step)
    with pytest.raises(OwnError, match=f"^out of memory on cpu with {words}"):
        train(tmp_path, *options)


# The disk


def limited(run: Path, most: int, *overrides: str) -> subprocess.CompletedProcess[str]:
    """A real `run.py` none of whose files may be larger than `most` bytes."""
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *overrides, f"hydra.run.dir={run}"],
        capture_output=True, text=True, timeout=400, cwd=run.parent,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )  # fmt: skip


def test_a_full_disk_leaves_the_last_checkpoint_and_no_partial_file(tmp_path):
    run = tmp_path / "run"
    train(run, "trainer.max_steps=10")
    before = {p.name: p.read_bytes() for p in (run / "checkpoints").iterdir()}
    done = limited(
        run, 20_000, f"resume={run}", "trainer.max_steps=20",
        "callbacks.checkpoints.every_n_images=224",
    )  # fmt: skip
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"cannot write a checkpoint to {run / 'checkpoints'}: File too large." in line
    assert "The previous checkpoint is unchanged" in line
    assert {p.name: p.read_bytes() for p in (run / "checkpoints").iterdir()} == before
    train(run, f"resume={run}", "trainer.max_steps=20")
    assert read(run)["zoo"]["step"] == 20


def test_a_log_on_a_full_disk_ends_in_a_sentence(tmp_path):
    """`/dev/full` is a disk without room."""
    run = tmp_path / "run"
    train(run, "trainer.max_steps=10")
    log = run / "csv" / "version_0" / "metrics.csv"
    given = configure(f"resume={run}", "trainer.max_steps=20")
    log.unlink()
    log.symlink_to("/dev/full")
    words = r"cannot write .*: No space left on device; free some space, then resume with .*run"
    with pytest.raises(OwnError, match=words):
        run_task(given[0], run, given[1])
    log.unlink()
    train(run, f"resume={run}", "trainer.max_steps=20")
    assert read(run)["zoo"]["step"] == 20


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS])
def test_a_disk_that_breaks_ends_in_a_sentence(tmp_path, monkeypatch, number):
    """As one does that the system has made read-only, since it found it broken."""

    def save(self):
        raise OSError(number, os.strerror(number), str(tmp_path / "metrics.csv"))

    train(tmp_path, "trainer.max_steps=10")
    monkeypatch.setattr(_Writer, "save", save)
    words = (
        f"cannot read or write .*metrics.csv: {os.strerror(number)}; repair the disk, "
        "then resume with"
    )
    with pytest.raises(OwnError, match=words):
        train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=20")
    monkeypatch.undo()
    assert read(tmp_path)["zoo"]["step"] == 10
    train(tmp_path, f"resume={tmp_path}", "trainer.max_steps=20")


def test_half_a_row_is_taken_off_the_log(tmp_path, monkeypatch):
    file = tmp_path / "metrics.csv"
    writer = _Writer(str(tmp_path))
    for step in (1, 2):
        writer.log_metrics({"a": 1.5}, step=step)
        writer.save()
    whole = file.read_bytes()
    with monkeypatch.context() as patch:  # what is written reaches the disk in part
        patch.setattr(csv.DictWriter, "writerows", _half_a_row)
        writer.log_metrics({"a": 2.5}, step=3)
        with pytest.raises(OSError, match="No space"):
            writer.save()
    assert file.read_bytes() == whole
    file.write_bytes(whole + b"1.5,1")  # the beginning of step 12, killed
    _cut(file, 10, 10)
    assert file.read_bytes() == whole
    writer.log_metrics({"b": 1.0}, step=4)  # a new column, and step 3, which found no room
    writer.save()
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(r["step"], r["a"], r["b"]) for r in rows] == [
        ("1", "1.5", ""), ("2", "1.5", ""), ("3", "2.5", ""), ("4", "", "1.0")
    ]  # fmt: skip
    assert os.listdir(tmp_path) == ["metrics.csv"]


def _half_a_row(self, rows):
    self.writer.writerow([1])
    raise OSError(errno.ENOSPC, "No space left on device")


# Processes


def alive(process: int) -> bool:
    """Whether it runs: a process that ended and was not looked after by its parent does not."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_is_named_and_the_others_end(tmp_path, plugin, killed):
    run = tmp_path / "run"
    process = start(
        run, "trainer=ddp", "trainer.accelerator=cpu", "trainer.max_epochs=100000",
        f"+callbacks.process._target_={plugin}.Process", f"+callbacks.process.place={tmp_path}",
    )  # fmt: skip
    try:
        wait_until((run / "checkpoints" / "last.ckpt").exists, process, 400)
        files = [tmp_path / f"rank{rank}" for rank in (0, 1)]
        wait_until(lambda: all(f.is_file() and f.read_text() for f in files), process, 60)
        numbers = [int(file.read_text()) for file in files]
        assert numbers[0] == process.pid
        os.kill(numbers[killed], signal.SIGKILL)
        _, errors = process.communicate(timeout=120)  # both have closed their output
    finally:
        process.kill()
    end = time.monotonic() + 60
    while any(map(alive, numbers)):
        assert time.monotonic() < end
        time.sleep(0.1)
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert f"process {killed}" in line.replace("error: process 1: ", "")
    assert re.search(r"of the training ended; resume with .*run\.py resume=.*run$", line)
    assert "Traceback" not in errors
    step = read(run)["zoo"]["step"]  # and what is told works, on one process too
    train(run, f"resume={run}", f"trainer.max_steps={step + 2}", "trainer=cpu")
    assert read(run)["zoo"]["step"] == step + 2


def test_a_process_that_waits_for_a_lost_one_is_ended(tmp_path):
    """As on GPUs, where a collective hangs: here the first process sleeps."""
    code = (
        "import subprocess, sys, time\n"
        "from types import SimpleNamespace as S\n"
        "import zoo.training.processes as p\n"
        "p._GRACE = 0.5\n"
        "child = subprocess.Popen([sys.executable, '-c', 'raise SystemExit(3)'])\n"
        "with p.Watch(lambda: 'go on') as watch:\n"
        "    watch.add(S(strategy=S(launcher=S(procs=[child]))))\n"
        "    time.sleep(300)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == "error: process 1 (exit code 3) of the training ended; go on\n"


def test_lightnings_observer_is_where_we_look_for_it():
    """A private name of Lightning's: its thread ends a training without a word."""
    from pytorch_lightning.strategies.launchers import subprocess_script

    observer = subprocess_script._launch_process_observer.__globals__["_ChildProcessObserver"]
    thread = observer(main_pid=0, child_processes=[])
    assert thread.name == "child-process-observer"
    assert callable(thread._run)
