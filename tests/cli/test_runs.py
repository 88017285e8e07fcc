"""A run: composed once, checked once, and handed to its task as a `Run`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from helpers_train import TINY
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra

import zoo
from zoo.cli import jobs, main, overrides
from zoo.cli.store import CONFIGS, store_parts
from zoo.contracts.task import Run, Task
from zoo.registry.registry import Registry


class Notes(Task):
    """Writes down what it is given."""

    def __init__(self) -> None:
        self.printed = ("seen",)

    def run(self, run: Run):
        self.given = run
        return {"folder": run.folder, "seen": 1}


@pytest.fixture
def counted(monkeypatch):
    """How often the command line is composed, checked and bound."""
    counts = {"composed": 0, "checked": 0, "bound": 0}

    def counting(name, function):
        def call(*args, **kwargs):
            counts[name] += 1
            return function(*args, **kwargs)

        return call

    compose = Hydra.compose_config
    monkeypatch.setattr(Hydra, "compose_config", counting("composed", compose))
    for module in (overrides, jobs):
        monkeypatch.setattr(module, "validate", counting("checked", module.validate))
    monkeypatch.setattr(jobs, "create", counting("bound", jobs.create))
    return counts


def test_a_run_is_composed_checked_and_bound_once(counted, monkeypatch, tmp_path, capsys):
    given = ["task=list", "kind=schedule", f"hydra.run.dir={tmp_path}/run"]
    monkeypatch.setattr(sys, "argv", ["run.py", *given])
    main.main()
    assert "cosine" in capsys.readouterr().out
    assert counted == {"composed": 1, "checked": 1, "bound": 1}


def test_a_training_from_python_too(counted, tmp_path):
    zoo.train(*TINY, out=tmp_path, trainer={"max_steps": 1})
    assert counted == {"composed": 1, "checked": 1, "bound": 1}


def test_hydras_notes_are_those_of_its_own_program(monkeypatch, tmp_path):
    out = tmp_path / "run"
    given = [*TINY, "trainer.max_steps=1", f"hydra.run.dir={out}"]
    monkeypatch.setattr(sys, "argv", ["run.py", *given])
    main.main()
    notes = {p.stem: yaml.safe_load(p.read_text()) for p in (out / ".hydra").iterdir()}
    assert notes["overrides"] == given[:-1]
    assert "hydra" not in notes["config"]
    job = notes["hydra"]["hydra"]
    assert (job["mode"], job["runtime"]["output_dir"]) == ("RUN", str(out))
    assert given[-1] in job["overrides"]["hydra"]


def test_a_task_is_given_a_run_or_a_folder(tmp_path):
    task = Notes()
    assert task(str(tmp_path))["folder"] == tmp_path
    assert task.given == Run(tmp_path)
    run = Run(Path("a"), {"seed": 1}, ("seed=1",))
    task(run)
    assert task.given is run


def test_what_a_task_has_printed_is_not_printed_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(jobs, "create", lambda *_, **__: Notes())
    store_parts()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", overrides=["task=list"])
    assert jobs.run_task(config, tmp_path, ["task=list"]) == {"folder": tmp_path, "seen": 1}
    assert capsys.readouterr().out == f"folder  {tmp_path}\n"


def test_a_task_of_a_plugin_derives_from_the_base(monkeypatch, tmp_path):
    (tmp_path / "old.py").write_text(
        "import zoo\n\n\n@zoo.task('old')\nclass Old:\n    '''Old.'''\n\n"
        "    def __call__(self, out):\n        return {}\n"
    )
    monkeypatch.setenv("ZOO_PLUGINS", str(tmp_path))
    monkeypatch.setattr("zoo.registry.registry.REGISTRY", Registry())
    with pytest.raises(zoo.ZooError, match=r"returns an Old, which must derive from zoo\.Task\."):
        zoo.create("task", "old")
