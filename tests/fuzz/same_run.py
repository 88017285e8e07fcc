"""Whether two runs' folders hold the same training: checkpoints, log, evaluations and grids."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def differences(one: Path, other: Path) -> list[str]:
    """Where two runs' folders differ in what training gave, in words; and what is left behind."""
    found = [f"left behind: {p.name}" for p in other.rglob(".*") if p.suffix == ".tmp"]
    found += [f"left behind: {p.name}" for p in other.rglob(".writing*")]
    for pattern in ("checkpoints/*.ckpt", "samples/*", "evaluations/*", "csv/*/metrics.csv"):
        names = [sorted(str(p.relative_to(r)) for p in r.glob(pattern)) for r in (one, other)]
        if names[0] != names[1]:
            found.append(f"files {sorted(set(names[0]) ^ set(names[1]))}")
        for name in set(names[0]) & set(names[1]):
            found += [f"{name}: {d}" for d in _differ(_content(one / name), _content(other / name))]
    return found


def values_of(folder: Path) -> int:
    """How many values are compared in the last checkpoint of a run."""
    content = _content(folder / "checkpoints" / "last.ckpt")
    return sum(1 for _ in _leaves(content))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _content(file: Path) -> Any:
    import torch

    if file.suffix == ".ckpt":
        content = torch.load(file, weights_only=True)
        content.pop("settings", None)  # sealed with where it was
        content["zoo"].pop("overrides", None)
        return content
    if file.suffix == ".csv":
        with file.open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        return [{k: v for k, v in row.items() if k != "images_per_second"} for row in rows]
    if file.suffix == ".json":
        return json.loads(file.read_text())
    return file.read_bytes()


_TIMES = ("seconds", "date", "time", "created", "images_per_second", "loops")
"""Of what differs between two runs that are the same; the loops are told by where they lead."""


def _differ(one: Any, other: Any, place: str = "") -> Iterator[str]:
    import torch

    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield place
    elif isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            yield f"{place} has {sorted(map(str, one.keys() ^ other.keys()))}"
        for key in one.keys() & other.keys():
            if key not in _TIMES:
                yield from _differ(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{place} has {len(one)} and {len(other)} entries"
        for i, (a, b) in enumerate(zip(one, other, strict=False)):
            yield from _differ(a, b, f"{place}[{i}]")
    elif one != other and not (one != one and other != other):
        yield f"{place}: {str(one)[:40]} and {str(other)[:40]}"
