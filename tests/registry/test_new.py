"""task=new: what it writes works, and it overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import zoo
from zoo.core.errors import ZooError
from zoo.registry import KINDS, Registry
from zoo.registry.places import ROOT
from zoo.registry.signature import from_callable


@pytest.mark.parametrize("kind", KINDS)
def test_what_new_writes_is_listed_and_works(kind, drop, tmp_path, monkeypatch):
    drop()
    name = f"fresh_{kind}"
    summary = zoo.create("task", "new", kind=kind, name=name, folder=str(tmp_path / "extra"))(
        tmp_path
    )
    registry = Registry()
    monkeypatch.setattr("zoo.registry.registry.REGISTRY", registry)
    part = registry.get(kind, name)
    assert not registry.problems
    assert part.summary == "Describe it in one line, for task=list."
    assert part.options == tuple(
        p for p in from_callable(part.load()) if p.name in {o.name for o in part.options}
    )
    assert summary["test it"].endswith(f"pytest --plugin {name}")
    test = (tmp_path / "extra" / f"test_{name}.py").read_text()
    namespace: dict = {}
    exec(compile(test, f"test_{name}.py", "exec"), namespace)
    (run,) = [f for n, f in namespace.items() if n.startswith("test_")]
    run(tmp_path) if kind == "task" else run()


def test_pytest_plugin_runs_the_contracts_of_one_part(tmp_path):
    environment = {**os.environ, "ZOO_PLUGINS": str(tmp_path)}
    zoo.create("task", "new", kind="loss", name="my_loss", folder=str(tmp_path))(tmp_path)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-vv",
        "-p",
        "no:cacheprovider",
        "--plugin",
        "my_loss",
    ]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    ran = [line for line in done.stdout.splitlines() if " PASSED" in line]
    assert any("test_losses_are_finite" in line and "loss-my_loss" in line for line in ran)
    assert any("test_values_at_a_score_of_zero" in line for line in ran)
    assert all("my_loss" in line for line in ran if "[" in line.split(" PASSED")[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "los", "name": "a"}, "Did you mean 'loss'?"),
        ({"kind": "loss", "name": "My-Loss"}, "for example name=my_loss"),
        ({"kind": "loss", "name": "class"}, "for example name=my_class"),
        ({"kind": "loss", "name": "os"}, "is the name of a Python module"),
        ({"kind": "loss", "name": "torch"}, "for example my_torch"),
        ({"kind": "loss", "name": "zoo"}, "for example my_zoo"),
        ({"kind": "loss", "name": "../x"}, "for example name=x"),
        ({"kind": "loss", "name": "bce"}, "there already is a loss 'bce'"),
        ({"kind": "loss"}, "needs name"),
    ],
)
def test_new_refuses_names_that_cannot_be_one(options, words, tmp_path):
    with pytest.raises(ZooError) as caught:
        zoo.create("task", "new", folder=str(tmp_path), **options)(tmp_path)
    assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_new_overwrites_nothing(tmp_path):
    (tmp_path / "mine.py").write_text("precious")
    with pytest.raises(ZooError, match=r"mine\.py already exists"):
        zoo.create("task", "new", kind="loss", name="mine", folder=str(tmp_path))(tmp_path)
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert not (tmp_path / "test_mine.py").exists()


def test_new_writes_into_a_folder_whose_name_has_a_space(tmp_path):
    folder = tmp_path / "my parts"
    summary = zoo.create("task", "new", kind="loss", name="spaced", folder=str(folder))(tmp_path)
    assert summary["test it"] == f"ZOO_PLUGINS='{folder}' pytest --plugin spaced"


def test_elsewhere_than_in_the_clone_pytest_does_not_know_its_options(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(tmp_path / "plugins")
    summary = zoo.create("task", "new", kind="loss", name="afar", folder=folder)(tmp_path)
    assert summary["test it"] == "pytest plugins/test_afar.py"
