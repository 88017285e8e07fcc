"""List the YAML files of the groups without parts: trainers, loggers, callbacks, debug presets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from zoo.core.tables import described, markdown
from zoo.registry.places import CONFIGS, plugin_folders

GROUPS = ("trainer", "logger", "callbacks", "debug")


class Preset(NamedTuple):
    """A YAML file of a group.

    Args:
        group: the group, such as `trainer`.
        name: the file's name without its suffix, by which it is chosen.
        what: the comment at the beginning of the file.
        options: the values that the file sets, by their keys on the command line.
    """

    group: str
    name: str
    what: str
    options: dict[str, Any]


def presets() -> Iterator[Preset]:
    """Yield the files of all groups, including those of plugins, group by group."""
    folders = [CONFIGS, *(folder / "configs" for folder in plugin_folders())]
    for group in GROUPS:
        for file in sorted(f for folder in folders for f in (folder / group).glob("*.yaml")):
            text = file.read_text(encoding="utf-8")
            yield Preset(group, file.stem, _comment(text), _options(text, group))


def _comment(text: str) -> str:
    """Return the comment at the beginning of a file, without Hydra's own."""
    lines = [line for line in text.splitlines() if not line.startswith("# @package")]
    comment = []
    for line in lines:
        if not line.startswith("#"):
            break
        comment.append(line.lstrip("# "))
    return " ".join(comment)


def _options(text: str, group: str) -> dict[str, Any]:
    """Return the values in a file by their full keys, which a global file already contains."""
    place = "" if "@package _global_" in text else f"{group}."
    loaded = OmegaConf.create(text)
    assert isinstance(loaded, DictConfig)
    node = OmegaConf.to_container(loaded, resolve=False)
    assert isinstance(node, dict)
    own = {name: value for name, value in node.items() if name not in ("defaults", group)}
    return dict(_leaves(own, place))


def _leaves(node: dict[Any, Any], place: str) -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{place}{name}.")
        elif name != "_target_":
            yield f"{place}{name}", value


def presets_text(width: int = 120) -> str:
    """Format a section per group for a terminal with `width` columns."""
    all_presets = list(presets())
    sections = []
    for group in GROUPS:
        rows = [(p.name, p.what) for p in all_presets if p.group == group]
        sections.append([f"{group.upper()}   {group}=NAME", *described(rows, width)])
    return "\n\n".join("\n".join(lines) for lines in sections)


def presets_page() -> str:
    """Format a section per group in Markdown, with the values that each file sets."""
    lines = []
    for group in GROUPS:
        rows = [
            [
                f"`{group}={p.name}`",
                p.what,
                ", ".join(f"`{key}={_written(value)}`" for key, value in p.options.items()),
            ]
            for p in presets()
            if p.group == group
        ]
        lines += [f"## {group}", "", markdown(["choice", "what", "sets"], rows), ""]
    return "\n".join(lines).strip()


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
