"""The wheel, installed outside of the clone and used from an empty folder."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_packages import build_wheel, pip_install
from helpers_train import TINY

from zoo.cli.program import program
from zoo.core.version import __version__
from zoo.registry.places import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed package and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip_install(build_wheel(folder / "build"), folder / "site")
    shutil.rmtree(folder / "build")
    return folder / "site"


def run(site: Path, cwd: Path, *command: str) -> str:
    """What a command prints; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    environment.pop("ZOO_PLUGINS", None)
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_wheel_is_whole(site: Path) -> None:
    package = site / "zoo"
    for folder in ("configs", "zoo"):
        inside = package if folder == "zoo" else package / folder
        files = (f for f in (ROOT / folder).rglob("*") if f.is_file())
        kept = [f for f in files if f.suffix not in (".pyc", ".pyo")]
        assert [f for f in kept if not (inside / f.relative_to(ROOT / folder)).is_file()] == []
    (info,) = site.glob("gan_zoo-*.dist-info")
    metadata = email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))
    assert metadata["Version"] == __version__ == "0.2.0"
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Description-Content-Type"] == "text/markdown"
    page = metadata.get_payload()
    assert page.lstrip().startswith("# GAN zoo")
    links = re.findall(r"\]\(([^)]*)\)", page)  # a package's page has no files beside it
    assert [link for link in links if not link.startswith("https://")] == []
    assert "how (`benchmarks/README.md`)" in page
    assert list(info.rglob("LICENSE"))
    assert "Programming Language :: Python :: 3.14" in metadata.get_all("Classifier")
    assert not (site / "benchmarks").exists()
    assert not (site / "tests").exists()


def test_help_and_list_are_those_of_the_command_typed(site: Path, tmp_path: Path) -> None:
    text = run(site, tmp_path, "-m", "zoo", "--help")
    assert "python -m zoo experiment=train_mnist_gan" in text
    assert "python run.py" not in text
    assert "sngan" in text
    text = run(site, tmp_path, str(site / "bin" / "gan-zoo"), "--help")
    assert "gan-zoo experiment=train_mnist_gan" in text
    assert "hinge" in run(site, tmp_path, "-m", "zoo", "task=list", "kind=loss")
    assert not list(tmp_path.iterdir())


def test_it_trains_and_samples_in_the_current_folder(site: Path, tmp_path: Path) -> None:
    printed = run(site, tmp_path, "-m", "zoo", *TINY, "trainer.max_steps=2")
    (run_folder,) = (tmp_path / "outputs" / "train").iterdir()
    assert (run_folder / "checkpoints" / "last.ckpt").is_file()
    assert f"python -m zoo resume=outputs/train/{run_folder.name}" in printed
    console = str(site / "bin" / "gan-zoo")
    run(site, tmp_path, console, "task=sample", "ckpt=mnist", "n=4")
    assert len(list((tmp_path / "outputs" / "sample").rglob("*.png"))) == 5


def test_a_plugin_lies_in_the_current_folder(site: Path, tmp_path: Path) -> None:
    console = str(site / "bin" / "gan-zoo")
    printed = run(site, tmp_path, console, "task=new", "kind=loss", "name=my_loss")
    assert "plugins/my_loss.py" in printed
    assert "gan-zoo model/loss=my_loss" in printed
    assert "pytest plugins/test_my_loss.py" in printed
    assert (tmp_path / "plugins" / "my_loss.py").is_file()
    assert "from plugins/my_loss.py" in run(site, tmp_path, console, "task=list", "kind=loss")
    code = "import zoo; print(zoo.__file__, zoo.list_parts('loss'))"
    printed = run(site, tmp_path, "-c", code)
    assert "my_loss" in printed
    assert printed.startswith(str(site))


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("run.py", "python run.py"),
        (str(ROOT / "run.py"), "python run.py"),
        ("/somewhere/bin/gan-zoo", "gan-zoo"),
        ("../elsewhere/run.py", "python ../elsewhere/run.py"),
        ("pytest", "python run.py"),
    ],
)
def test_printed_commands_are_as_typed(
    typed: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert program() == shown


def test_called_from_python_in_another_folder_the_module_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["my_script.py"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert program() == "python -m zoo"
    (tmp_path / "run.py").write_text("print('not the zoo')")  # as every template has one
    assert program() == "python -m zoo"
    assert program(elsewhere=True) == "python run.py"
