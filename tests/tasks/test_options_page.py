"""The page of all options, and the pages made from docstrings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from zoo.registry import REGISTRY
from zoo.tasks.list import ListParts
from zoo.tasks.options_page import options_page

ROOT = Path(__file__).parents[2]
PARTS = [part for part in REGISTRY.parts() if part.source == "zoo"]
PAGE = options_page(PARTS)


def test_every_option_of_every_part_stands_on_the_page():
    for part in PARTS:
        _, _, section = PAGE.partition(f"### {part.kind} `{part.name}`\n")
        section = section.partition("\n### ")[0]
        assert part.summary in section, part
        for option in part.options:
            assert f"{option.name}` | " in section, (part.name, option.name)


def test_a_section_says_how_a_part_is_chosen_and_what_options_mean():
    _, _, section = PAGE.partition("### datamodule `webdataset`\n")
    section = section.partition("\n### ")[0]
    assert "`datamodule=webdataset`" in section
    assert "`datamodule.window` |" in section
    assert (
        "the number of images that are shuffled together; two windows are held in memory" in section
    )
    assert "https://arxiv.org/abs/2001.01858" in section
    assert "`model/regularizer=[r1]`" in PAGE
    assert "| `model.regularizer.r1.gamma` |" in PAGE


def test_every_row_of_a_table_has_its_cells():
    for line in PAGE.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") == 5, line


def test_the_task_prints_it(capsys, tmp_path):
    ListParts("loss", "markdown")(tmp_path)
    printed = capsys.readouterr().out
    assert printed.startswith("| kind | name | what | paper |")
    assert "### loss `hinge`" in printed
    assert "datamodule" not in printed


def test_the_pages_of_the_api_are_built(tmp_path):
    """As CONTRIBUTING says: the contracts, and what users call, subclass or hold."""
    page = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    written = page[page.index("pdoc ") :].partition("```")[0].replace("\\\n", " ").split()
    modules = [word for word in written if word.startswith("zoo.")]
    assert len(modules) == 8
    command = [sys.executable, "-m", "pdoc", "--docformat", "google", "-o", str(tmp_path)]
    run = subprocess.run(
        [*command, *modules], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stderr
    assert [line for line in run.stderr.splitlines() if line.startswith("Warn")] == []
    assert "synthesize" in (tmp_path / "zoo/contracts/generator.html").read_text()
    assert "LoadedGenerator" in (tmp_path / "zoo/inference/load.html").read_text()
    for page, name in (
        ("training/gan", "GAN.sample"),
        ("cli/from_python", "train"),
        ("tasks/from_python", "evaluate"),
        ("inference/images", "show"),
        ("registry/registry", "list_parts"),
    ):
        assert f'id="{name}"' in (tmp_path / f"zoo/{page}.html").read_text()
