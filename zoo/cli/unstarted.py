"""The commands for the runs of a sweep that were not started when it was stopped."""

from __future__ import annotations

import math
from collections.abc import Sequence

from zoo.cli.grammar import in_shell, key_of
from zoo.cli.overrides import flags
from zoo.cli.program import program

_PLACES = ("hydra.sweep.dir", "hydra.sweep.subdir")
"""Overrides for the folders of the sweep, in which there are trainings already."""


def commands(jobs: Sequence[Sequence[str]], first: int, arguments: Sequence[str]) -> list[str]:
    """Return the commands that together run `jobs[first:]`, and nothing else.

    Args:
        jobs: the overrides of all runs of the sweep, in their order.
        first: the number of the first run that is left.
        arguments: the command line of the sweep.
    """
    given = flags(list(arguments)).overrides
    options = [a for a in arguments if a not in given]
    hydras = [o for o in given if key_of(o).startswith("hydra") and key_of(o) not in _PLACES]
    typed = {key_of(o): o for o in given if "=" not in o}  # `~logger`, which Hydra gives a value
    # The last override varies fastest. What is left of a sweep is therefore a few whole sweeps, one
    # for each number of overrides that are as in the last run before.
    groups: dict[int, list[Sequence[str]]] = {}
    for job in jobs[first:]:
        groups.setdefault(_shared(job, jobs[first - 1]) if first else 0, []).append(job)
    lines = []
    for group in groups.values():
        values = [list(dict.fromkeys(column)) for column in zip(*group, strict=True)]
        whole = math.prod(map(len, values)) == len(group)
        for choices in [values] if whole else [[[text] for text in job] for job in group]:
            joined = [typed.get(key_of(texts[0]), _joined(texts)) for texts in choices]
            lines.append(" ".join(map(in_shell, [*options, *joined, *hydras])))
    return [f"{program()} {line}" for line in lines]


def _shared(job: Sequence[str], other: Sequence[str]) -> int:
    """The number of overrides at the beginning in which two runs agree."""
    pairs = enumerate(zip(job, other, strict=True))
    return next((i for i, (a, b) in pairs if a != b), len(job))


def _joined(texts: list[str]) -> str:
    """Join overrides of one key to one with several values: `model/loss=bce,hinge`."""
    return ",".join([texts[0], *(text.partition("=")[2] for text in texts[1:])])
