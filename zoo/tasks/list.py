"""`task=list`: list the parts of the zoo, of plugins and of installed packages."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from zoo.contracts.task import Run, Task
from zoo.core.errors import ZooError
from zoo.core.tables import markdown
from zoo.registry import REGISTRY, Part, check_kind, task
from zoo.registry.kinds import KINDS
from zoo.registry.places import ROOT
from zoo.tasks.models import models_page, models_text
from zoo.tasks.options_page import model_section, options_page, with_links
from zoo.tasks.presets import presets_page, presets_text
from zoo.training.options import model_parameters


@task("list")
class ListParts(Task):
    """List every part with its options, their types and defaults, its summary, paper and source.

    The parts are followed by the models that come with the zoo (`ckpt=NAME`), and by the shipped
    trainers, loggers, callbacks and presets of `debug`.

    Plugins are imported, so that the list names those that cannot be, with the file and the reason.

    Args:
        kind: list only parts of this kind: `generator`, `loss`, `datamodule` …; null lists all.
        format: `table` for the terminal, `markdown` for one page of all parts and options.
    """

    writes_files = False

    def __init__(
        self,
        kind: str | None = None,
        format: Literal["table", "markdown"] = "table",
    ) -> None:
        if kind is not None:
            check_kind(kind)
        self.kind = kind
        self.format = format

    def run(self, run: Run) -> dict[str, Any]:
        """Print the list; the summary is empty."""
        parts = [_imported(p) for p in REGISTRY.parts(self.kind)]
        width = min(160, shutil.get_terminal_size((120, 24)).columns)
        all_kinds = self.kind is None
        if self.format == "markdown":
            pages = [markdown_table(parts), options_page(parts)]
            pages += [model_section(), models_page(), presets_page()] if all_kinds else []
        else:
            pages = [text_table(parts, width)]
            others = (model_options, models_text, presets_text)
            pages += [text(width) for text in others] if all_kinds else []
        print("\n\n".join(pages))
        return {}


def _imported(part: Part) -> Part:
    """Import a plugin's part; if that fails, return it with the reason as its summary."""
    if part.source == "zoo":
        return part
    try:
        part.load()
    except ZooError as error:
        return dataclasses.replace(part, summary=f"BROKEN: {error}")
    return part


def readme_table() -> str:
    """Return the table of the zoo's own parts that README.md contains."""
    return markdown_table(p for p in REGISTRY.parts() if p.source == "zoo")


def markdown_table(parts: Iterable[Part]) -> str:
    """Format a Markdown table of kind, name, summary and paper, with arXiv numbers as links."""
    rows = []
    for part in parts:
        rows.append([part.kind, f"`{part.name}`", part.summary, with_links(part.paper)])
    return markdown(["kind", "name", "what", "paper"], rows)


def text_table(parts: Iterable[Part], width: int = 120) -> str:
    """Format a section per kind, with the name, options, summary, paper and source of each part."""
    by_kind: dict[str, list[Part]] = {}
    for part in parts:
        by_kind.setdefault(part.kind, []).append(part)
    return "\n\n".join(
        "\n".join([_heading(kind), *_rows(by_kind[kind], max(80, width))])
        for kind in KINDS
        if kind in by_kind
    )


def model_options(width: int = 120) -> str:
    """Format the options that every model has, in the style of `text_table`."""
    options = [line for o in model_parameters() for line in _wrap(str(o), max(80, width) - 2)]
    return "\n".join(["MODEL   model.OPTION=…", *(f"  {line}" for line in options)])


def _heading(kind: str) -> str:
    """Return the heading of a kind, which shows how its parts are chosen."""
    row = KINDS[kind]
    group = row.group
    if group is None:
        return f"{kind.upper()}   {row.choice}"
    option = "OPTION=…" if kind == "task" else f"{group.replace('/', '.')}.OPTION=…"
    if row.several:
        return f"{kind.upper()}   '{group}=[NAME,…]'   {group.replace('/', '.')}.NAME.OPTION=…"
    return f"{kind.upper()}   {group}=NAME   {option}"


def _rows(parts: list[Part], width: int) -> Iterator[str]:
    """Yield the lines of a section in three columns: names, options, and text about the part."""
    name_width = max(len(p.name) for p in parts)
    option_width = (width - name_width - 6) * 2 // 5
    text_width = width - name_width - option_width - 6
    for part in parts:
        left = [line for o in part.options for line in _wrap(str(o), option_width)] or ["-"]
        about = filter(None, [part.summary, part.paper, f"from {_source(part)}"])
        right = [line for text in about for line in _wrap(text, text_width)]
        for i in range(max(len(left), len(right))):
            cells = (
                part.name if i == 0 else "",
                *(c[i] if i < len(c) else "" for c in (left, right)),
            )
            yield f"  {cells[0]:<{name_width}}  {cells[1]:<{option_width}}  {cells[2]}".rstrip()


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


def _source(part: Part) -> str:
    if part.source == "zoo" and part.file is not None:
        return str(part.file.relative_to(ROOT))
    return part.source
