"""The command line as a process: help, completion, exit codes, what is written and what is not."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from helpers_train import TINY, configure

from zoo.cli import main as cli
from zoo.cli.failures import Stopped
from zoo.cli.jobs import run_task
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY
from zoo.registry.places import CONFIGS, ROOT


def run_py(*arguments: str, cwd=ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )


def test_help_lists_every_part_and_option():
    done = run_py("--help")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for kind, group in (("generator", "model/generator"), ("loss", "model/loss"), ("task", "task")):
        (choices,) = [line for line in lines if line.startswith(f"{group}: ")]
        names = choices.partition(": ")[2].split(", ")
        own = {p.name for p in REGISTRY.parts(kind) if p.source == "zoo"}  # not of other tests
        assert own <= set(names)
    assert "lr_g: 0.001" in done.stdout
    assert "python run.py experiment=train_mnist_gan" in done.stdout


def test_task_list_prints_a_table_and_leaves_nothing_behind(tmp_path):
    done = run_py("task=list", "kind=loss", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"^  wgan_gp +penalty: float >= 0 =", done.stdout, re.MULTILINE)
    assert "GENERATOR" not in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_task_that_writes_no_files_needs_no_folder(tmp_path):
    """Where `outputs` cannot be a folder, as below one that is read-only."""
    (tmp_path / "outputs").touch()
    done = run_py("task=list", "kind=loss", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wgan_gp" in done.stdout
    done = run_py("task=publish", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: task=publish needs ckpt=")
    done = run_py("trainer.max_steps=1", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.search(r"cannot be written, because outputs is not a folder; choose.*dir=…$", line)
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_tasks_say_whether_they_write_into_the_runs_folder():
    """Which those that do say by its name; a task's own `folder=` or `repo=` is another one."""
    for part in REGISTRY.parts("task"):
        if part.source == "zoo":
            source = Path(str(part.file)).read_text("utf-8")
            assert part.load().writes_files == ("run.folder" in source), part.name


def test_a_folder_of_the_user_is_kept(tmp_path):
    (tmp_path / "run" / ".hydra").mkdir(parents=True)
    (tmp_path / "run" / "precious.txt").touch()
    config, given = configure("task=list", "kind=head")
    run_task(config, tmp_path / "run", given)
    assert (tmp_path / "run" / ".hydra").exists()


def test_a_mistake_is_one_line_and_an_exit_code(tmp_path):
    done = run_py("model/loss=hing", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: model/loss=hing: there is no such choice. Did you mean 'hinge'?")
    assert not list(tmp_path.iterdir())


def test_a_broken_plugin_is_a_warning(tmp_path):
    (tmp_path / "broken.py").write_text("def broken(:\n")
    done = run_py("task=list", "kind=head", ZOO_PLUGINS=str(tmp_path))
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: plugin ")
    assert "broken.py, line 1 is left out: SyntaxError" in line


def test_help_is_printed_beside_a_part_whose_name_is_taken(tmp_path):
    twin = "from zoo import Loss, loss\n@loss('bce')\nclass Twin(Loss):\n    pass\n"
    (tmp_path / "twin.py").write_text(twin)
    (tmp_path / "zebra.py").write_text(twin.replace("bce", "zebra"))
    done = run_py("--help", ZOO_PLUGINS=str(tmp_path))
    assert done.returncode == 0
    assert "zebra" in done.stdout
    (line,) = done.stderr.splitlines()
    assert "twin.py is left out: two parts are called loss 'bce': zoo.parts.losses.bce.BCE" in line
    done = run_py("task=list", ZOO_PLUGINS=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("error: two parts are called loss 'bce'")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("model/loss=h", ["model/loss=hinge"]),
        ("model.generator.b", ["model.generator.base_channels="]),
    ],
)
def test_shells_complete_groups_choices_and_options(line, words):
    line = f"python run.py {line}"
    done = run_py("-sc", "query=bash", COMP_LINE=line, COMP_POINT=str(len(line)))
    assert done.stdout.split() == words, done.stderr


def test_a_sweep_goes_on_after_a_failure_and_tells_it(tmp_path):
    swept = ("start=nowhere.ckpt,null", f"hydra.sweep.dir={tmp_path}/sweep")
    done = run_py("-m", *TINY, "trainer.max_steps=4", *swept)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: run 0: " in done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[1] for row in rows] == ["run", "---", "0", "1"]
    assert "failed" in rows[2]
    assert "ok" in rows[3]
    assert "run 0 failed: " in done.stdout
    assert (tmp_path / "sweep" / "comparison.md").is_file()
    assert (tmp_path / "sweep" / "comparison.png").is_file()


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (ZooError("wrong."), 1, "error: wrong.\n"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C; run the same command to start again.\n"),
        (PermissionError(13, "Permission denied", "/x"), 1, "error: Permission denied: /x\n"),
        (RuntimeError("a\nb"), 1, "error: RuntimeError: a b (This is a bug or an unexpected"),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            1,
            f"error: torch {version('torch')} and torchvision {version('torchvision')} are of diff",
        ),
    ],
)
def test_every_error_is_a_sentence(error, code, sentence, monkeypatch, capsys):
    def fail():
        raise error

    monkeypatch.setattr(sys, "argv", ["run.py", "task=list"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as caught:
        cli.main(fail)
    assert caught.value.code == code
    printed = capsys.readouterr().err
    assert printed.startswith(sentence)
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "printed"),
    [
        (ZooError("wrong."), ""),
        (
            OSError(28, "No space left"),
            "error: process 1: cannot write to the disk: No space left; free some space.\n",
        ),
    ],
)
def test_a_second_process_tells_only_what_may_be_its_own(error, printed, monkeypatch, capsys):
    def fail():
        raise error

    monkeypatch.setattr(sys, "argv", ["run.py", "task=list"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # as it inherits it
    monkeypatch.setenv("ZOO_FULL_ERROR", "0")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(SystemExit) as caught:
        cli.main(fail)
    assert caught.value.code == 1
    assert capsys.readouterr().err == printed


@pytest.mark.parametrize("how", ["debug=1e", "debug=false", "debug=null", "debug="])
def test_what_is_no_preset_shows_none(how, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "task=list", how])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit):
        cli.main(_fail)
    assert capsys.readouterr().err.startswith("error: ")


def _fail():
    raise ZooError("wrong.")


@pytest.mark.parametrize("how", ["debug=true", "debug=True", "debug=fdr", "HYDRA_FULL_ERROR=1"])
def test_a_flag_shows_the_traceback(how, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "task=list", *([how] if "debug" in how else [])])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1" if "HYDRA" in how else "0")
    with pytest.raises(SystemExit):
        cli.main(_fail)
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert printed.endswith("error: wrong.\n")


@pytest.mark.parametrize("preset", [None, *sorted(f.stem for f in (CONFIGS / "debug").iterdir())])
@pytest.mark.parametrize(
    ("stop", "code"),
    [(KeyboardInterrupt(), 130), (Stopped(signal.SIGINT), 130), (Stopped(signal.SIGTERM), 143)],
)
def test_whoever_stops_it_reads_no_traceback(stop, code, preset, monkeypatch, capsys):
    def run():
        raise stop

    monkeypatch.setattr(sys, "argv", ["run.py", *([f"debug={preset}"] if preset else [])])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    with pytest.raises(SystemExit) as end:
        cli.main(run)
    assert end.value.code == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stopped by ")
