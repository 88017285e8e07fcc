"""Training through run.py and evaluating the last checkpoint, in separate processes."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import child
from zoo.metrics.curve import in_order
from zoo.metrics.protocol import Result

RUN = [sys.executable, "run.py"]


def trained_and_scored(
    settings: list[str], metrics: list[str], threads: int, longest: float, **environment: str
) -> dict[str, Any]:
    """Train and evaluate in a temporary folder; see `trained` and `scored` for the entries."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        found = trained(settings, threads, longest, run, **environment)
        return found | scored(run, metrics, threads, longest, **environment)


def trained(
    settings: list[str], threads: int, longest: float, run: Path, **environment: str
) -> dict[str, int]:
    """Train through run.py and return the images seen and the seconds.

    Args:
        settings: the settings of the training.
        threads: the number of threads.
        longest: the most seconds that it may take.
        run: the folder of the run; an existing one is replaced.
        environment: variables to add to the environment.
    """
    if run.exists():
        shutil.rmtree(run)
    environment["OMP_NUM_THREADS"] = str(threads)
    text = child([*RUN, *settings, f"hydra.run.dir={run}"], longest, **environment)[2]
    found = re.findall(r"^trained +([\d,]+) images in (\d+) s", text, re.MULTILINE)
    images, seconds = found[-1]
    return {"images": int(images.replace(",", "")), "seconds": int(seconds)}


def scored(
    run: Path,
    metrics: list[str],
    threads: int,
    longest: float,
    how: Sequence[str] = (),
    **environment: str,
) -> dict[str, Any]:
    """Evaluate a run's last checkpoint by `task=evaluate` with the settings `how`.

    Returns:
        The `figures` and the `protocol`; both are empty without metrics.
    """
    if not metrics:
        return {"figures": {}, "protocol": ""}
    settings = [f"ckpt={run}", f"metrics=[{','.join(metrics)}]", *how]
    (result,) = evaluated(settings, threads, longest, **environment)
    return {"figures": result.figures, "protocol": str(result.protocol)}


def evaluated(
    settings: list[str], threads: int, longest: float, **environment: str
) -> list[Result]:
    """Run `task=evaluate` and return its results, sorted by the images seen."""
    environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "scores")
        child([*RUN, "task=evaluate", *settings, f"hydra.run.dir={out}"], longest, **environment)
        files = out.glob("metrics*.json")
        return in_order([Result.from_json(f.read_text(encoding="utf-8")) for f in files])
