"""A training through run.py and the figures of its last checkpoint, in processes of their own."""

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
    """What `trained` and `scored` say of one run, which is not kept; without metrics no figures."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        found = trained(settings, threads, longest, run, **environment)
        return found | scored(run, metrics, threads, longest, **environment)


def trained(
    settings: list[str], threads: int, longest: float, run: Path, **environment: str
) -> dict[str, int]:
    """Images and seconds of one training through run.py.

    Args:
        settings: of the training.
        longest: seconds that it may take.
        run: its folder, in the place of an earlier one.
        environment: additions to that of the process.
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
    """Figures of a run's last checkpoint by `task=evaluate`, set as `how`, and their protocol."""
    if not metrics:
        return {"figures": {}, "protocol": ""}
    settings = [f"ckpt={run}", f"metrics=[{','.join(metrics)}]", *how]
    (result,) = evaluated(settings, threads, longest, **environment)
    return {"figures": result.figures, "protocol": str(result.protocol)}


def evaluated(
    settings: list[str], threads: int, longest: float, **environment: str
) -> list[Result]:
    """The results of one `task=evaluate`, by the images that their checkpoints have seen."""
    environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "scores")
        child([*RUN, "task=evaluate", *settings, f"hydra.run.dir={out}"], longest, **environment)
        files = out.glob("metrics*.json")
        return in_order([Result.from_json(f.read_text(encoding="utf-8")) for f in files])
