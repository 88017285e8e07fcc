"""The notebooks of `plugins/notebooks`: committed without outputs, and every cell runs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from zoo.registry.places import ROOT

NOTEBOOKS = sorted((ROOT / "plugins" / "notebooks").glob("*.ipynb"))


@pytest.fixture
def kernel_environment(monkeypatch, tmp_path):
    """A kernel that imports this zoo, from an empty folder of its own and without a way out."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("ZOO_DATA_DIR", raising=False)
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_there_are_notebooks():
    assert [file.stem for file in NOTEBOOKS] == ["own_loss", "own_pictures"]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_committed_without_outputs(file: Path):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), cell.source
        assert cell.get("execution_count") is None


def test_pictures_of_ones_own_need_no_other_change():
    """Classes of the pictures that stand in are named where these are made, and nowhere else."""
    notebook = nbformat.read(ROOT / "plugins/notebooks/own_pictures.ipynb", as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    naming = [source for source in code if "circle" in source or "square" in source]
    assert naming == [code[1]]


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_runs_and_shows_pictures(file: Path, kernel_environment: Path):
    notebook = nbformat.read(file, as_version=4)
    resources = {"metadata": {"path": str(kernel_environment)}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    shown = [
        out
        for cell in notebook.cells
        for out in cell.get("outputs", [])
        if "image/png" in out.get("data", {})  # what zoo.show gives a notebook
    ]
    assert len(shown) >= 2
