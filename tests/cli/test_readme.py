"""README's commands compose, its Python runs, its table of parts is current."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

import zoo
from zoo.cli import overrides
from zoo.cli.store import CONFIGS, store_parts
from zoo.registry import REGISTRY
from zoo.registry.places import ROOT
from zoo.tasks.list import readme_table

README = (ROOT / "README.md").read_text(encoding="utf-8")


PAGES = (
    "README.md", "configs/README.md", "zoo/training/callbacks/README.md",
    "benchmarks/results/losses.md",
)  # fmt: skip
"""Whose commands are composed."""


def commands() -> list[str]:
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    found = [command for text in texts for command in re.findall(r"python run\.py[^`\n]*", text)]
    # The table of results says what its commands share once, in its head.
    (shared,) = re.findall(r"`(python run\.py [^`]*)` …", texts[-1])
    found += [f"{shared} {rest}" for rest in re.findall(r"`([^`]*)` \|$", texts[-1], re.MULTILINE)]
    return list(dict.fromkeys(c.split("  #")[0].strip() for c in found))


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("command", commands())
def test_commands_compose(command: str) -> None:
    store_parts()
    known = command.replace("wide_hinge", "hinge")  # README's plugin, which has the same option
    arguments = overrides.normalise(shlex.split(known)[2:])
    overrides.check(arguments, CONFIGS, only_prints="--help" in arguments)


def room_commands() -> list[str]:
    """What follows `run.py` in the pages of the rooms, but for blanks to fill in."""
    pages = sorted({*(ROOT / "zoo").rglob("README.md"), ROOT / "benchmarks/README.md"})
    texts = [page.read_text(encoding="utf-8").replace("\\\n", " ") for page in pages]
    found = [rest for text in texts for rest in re.findall(r"(?<=run\.py )[^`|\n]*", text)]
    found = [rest.split("  #")[0].strip() for rest in found]
    blanks = ("…", "my_loss")  # a path, and a plugin that the reader has just written
    return list(dict.fromkeys(rest for rest in found if not any(b in rest for b in blanks)))


@pytest.mark.parametrize("rest", room_commands())
def test_commands_of_the_rooms_compose(rest: str) -> None:
    store_parts()
    overrides.check(overrides.collect_space(overrides.normalise(shlex.split(rest))), CONFIGS)


QUICK = ("task=sample", "task=list", "--help", "task=new", "model.generator.base_channels=32")
"""What of README's commands takes no network, no extra package and no time, or little training."""


@pytest.mark.parametrize("command", [c for c in commands() if any(q in c for q in QUICK)])
def test_quick_commands_run(command: str, tmp_path: Path) -> None:
    arguments = shlex.split(command)[2:]
    if "task=new" in arguments:
        arguments.append(f"folder={tmp_path}/plugins")
    if "model.generator.base_channels=32" in arguments:
        arguments.append("trainer.max_steps=2")
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout
    if "--help" not in arguments:
        written = {p.suffix for p in tmp_path.rglob("*") if p.is_file()}
        wanted = {"task=sample": ".png", "task=new": ".py", "task=list": None}
        suffix = next((s for task, s in wanted.items() if task in arguments), ".ckpt")
        assert suffix is None or suffix in written


def test_the_log_of_changes_says_each_thing_once() -> None:
    entries = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n- ")[1:]
    assert len(entries) == len({entry.partition("\n\n")[0].strip() for entry in entries})


def test_every_recipe_is_on_their_page() -> None:
    page = (ROOT / "configs/README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`python run\.py (?:-m )?experiment=(\w+)[^`]*`", page))
    folders = (CONFIGS, ROOT / "plugins/configs")
    assert named == {file.stem for at in folders for file in at.glob("experiment/*.yaml")}


def test_the_dcgan_that_readme_chooses_is_twice_as_wide_as_the_default() -> None:
    assert "`dcgan` is twice as wide as the default, `dcgan_small` |" in README
    store_parts()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        default = compose("config")
    options = REGISTRY.get("generator", "dcgan").options
    (width,) = (option.default for option in options if option.name == "base_channels")
    assert width == 2 * default.model.generator.base_channels


def test_readme_has_commands() -> None:
    assert len(commands()) > 15


ROOMS = ("benchmarks", "configs", "plugins", "tests", "zoo")


def documents() -> list[Path]:
    """All pages of the repository, hidden folders of other programs left out."""
    here = [ROOT / ".github", *(p for p in ROOT.iterdir() if p.name in ROOMS)]
    return [*ROOT.glob("*.md"), *(f for folder in here for f in sorted(folder.rglob("*.md")))]


@pytest.mark.parametrize("page", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    files = [link.partition("#")[0] for link in links if not re.match(r"https?:|mailto:|#", link)]
    assert [file for file in files if not (page.parent / file).exists()] == []


def test_every_room_page_is_named() -> None:
    rooms = [p for p in documents() if p.name == "README.md" and "pretrained" not in p.parts]
    named = [str(p.relative_to(ROOT)) for p in rooms if p.parent != ROOT]
    assert [name for name in named if f"({name})" not in README] == []


def test_table_of_parts_is_current() -> None:
    between = README.partition("format=markdown` -->")[2].partition("<!-- end of parts -->")[0]
    assert between.strip() == readme_table().strip()


def test_python_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    examples = [b for b in blocks("python") if "# plugins/" not in b]
    assert examples
    for example in examples:
        exec(compile(example, "README.md", "exec"), {})


def test_plugin_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plugin,) = [b for b in blocks("python") if "# plugins/" in b]
    assert len([line for line in plugin.splitlines() if line.strip()]) <= 15
    namespace: dict[str, object] = {"__name__": "readme_plugin"}
    exec(compile(plugin, "README.md", "exec"), namespace)
    name = re.search(r"@loss\(\"(\w+)\"\)", plugin)
    assert name is not None
    import torch

    made = zoo.create("loss", name[1])
    scores = torch.randn(8, requires_grad=True)
    made.discriminator(scores, -scores).mean().backward()
    assert made.generator(scores).shape == (8,)
    assert scores.grad is not None


def test_versions_of_python_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    language = "Programming Language :: Python :: 3."
    named = [c.removeprefix(language) for c in project["classifiers"] if c.startswith(language)]
    assert named == [str(minor) for minor in range(int(lowest), int(end))]
    assert f"\nPython 3.{lowest} to 3.{named[-1]}. " in README


def test_ci_runs_the_command_of_the_readme() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "README.md" in ci
    assert "<!-- the test command -->" in ci
    assert "<!-- the test command -->" in README
