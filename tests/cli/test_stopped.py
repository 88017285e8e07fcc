"""Being stopped is no error: every task says so, and a sweep names what is left of it."""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys

import pytest
from helpers_train import TINY, configure, wait_until

import zoo.tasks.evaluate
import zoo.tasks.explore
from zoo.cli import main as cli
from zoo.cli.failures import Stopped, exit_with_sentence
from zoo.cli.hydra_internals import jobs_of_sweep
from zoo.cli.jobs import run_task
from zoo.cli.unstarted import commands
from zoo.registry.places import ROOT


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
@pytest.mark.parametrize(
    ("task", "module"), [("evaluate", zoo.tasks.evaluate), ("explore", zoo.tasks.explore)]
)
def test_every_task_says_that_a_signal_stopped_it(
    task, module, name, tmp_path, monkeypatch, capsys
):
    number = getattr(signal, name)

    def stopped(*args, **options):
        signal.raise_signal(number)
        raise AssertionError("the signal had no effect")

    monkeypatch.setattr(getattr(module, task.capitalize()), "run", stopped)
    config, given = configure(f"task={task}", "ckpt=mnist")
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, exit_with_sentence():
        run_task(config, tmp_path / "run", given)
    assert ended.value.code == 143
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"stopped by {name}, ")
    assert line.endswith("; run the same command to start again.")
    assert signal.getsignal(number) == before
    assert not (tmp_path / "run").exists()


def test_an_ignored_signal_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exit_with_sentence():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_forked_worker_ends_by_the_signal_itself(capfd):
    with exit_with_sentence():
        child = os.fork()
        if child == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert capfd.readouterr().err == ""


def test_a_second_process_says_nothing(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit) as ended, exit_with_sentence():
        raise Stopped(signal.SIGTERM)
    assert ended.value.code == 143
    assert capsys.readouterr().err == ""


# What is left of a sweep --------------------------------------------------------------------------


@pytest.mark.parametrize("first", range(12))
def test_the_commands_run_just_what_is_left(first):
    """In the same order, for each number of runs that had been started."""
    sweep = [["model/loss=bce", "model/loss=hinge", "model/loss=wgan_gp"], ["~logger="],
             ["seed=1", "seed=2"], ["tags=[a\\ b,c]"], ["n=5", "n=6"]]  # fmt: skip
    jobs = [list(job) for job in itertools.product(*sweep)]
    typed = ["--config-dir", "my configs", "-m", "model/loss=bce,hinge,wgan_gp", "~logger",
             "seed=range(1,3)", "tags=[a b,c]", "n=5,6", "hydra/launcher=joblib",
             "hydra.sweep.dir=x"]  # fmt: skip
    run = []
    for line in commands(jobs, first, typed):
        words = shlex.split(line)
        words = words[words.index("--config-dir") :]
        assert words[:3] == ["--config-dir", "my configs", "-m"]
        assert words[-1] == "hydra/launcher=joblib"  # and not into the same folder
        assert words[4] == "~logger"
        choices = [
            [f"{key}={value}" for value in ([values] if key == "tags" else values.split(","))]
            for key, _, values in (word.partition("=") for word in words[3:-1])
        ]
        run += [list(job) for job in itertools.product(*choices)]
    assert run == jobs[first:]
    assert len(commands(jobs, first, typed)) <= 3  # at most one for each override that varies


def test_runs_that_are_no_product_are_named_one_by_one():
    jobs = [["a=1", "b=1"], ["a=1", "b=2"], ["a=2", "b=1"], ["a=3", "b=2"]]
    lines = commands(jobs, 2, ["-m", "a=1,2,3", "b=1,2"])
    assert [line[line.index("-m") :] for line in lines] == ["-m a=2 b=1", "-m a=3 b=2"]


@pytest.mark.parametrize(
    ("resume", "words"),
    [("again", "resume with: again\n1 run is left: start it with\n  python"),
     ("", "stopped by Ctrl-C; 2 runs of the sweep are left: start them with\n  python")],
)  # fmt: skip
def test_a_run_with_a_checkpoint_is_resumed_and_others_start_again(resume, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "-m", "seed=1,2,3"])
    jobs_of_sweep()[:] = [["seed=1"], ["seed=2"], ["seed=3"]]
    assert words in str(cli._with_rest(Stopped(signal.SIGINT, resume), 1))
    assert "\n" not in str(cli._with_rest(Stopped(signal.SIGINT, "again"), 2))


def test_a_real_sweep_that_is_stopped_names_the_rest(tmp_path):
    given = [
        *TINY,
        "trainer.max_epochs=-1",
        "model/loss=bce,hinge",
        "seed=1,2",
        f"data_dir={tmp_path}",
    ]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), "-m", *given, f"hydra.sweep.dir={tmp_path}/sweep"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    last = tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt"
    wait_until(last.is_file, process)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 130, printed
    stopped, left, *lines = printed.strip().splitlines()[-4:]
    assert stopped.startswith("stopped by Ctrl-C; resume with: python ")
    assert stopped.endswith("resume=sweep/0")
    assert left == "3 runs of the sweep are left: start them with"
    assert "model/loss=bce seed=2 " in lines[0]
    assert "model/loss=hinge seed=1,2 " in lines[1]
