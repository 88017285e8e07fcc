"""A training through run.py and the figures of its last checkpoint, in processes of their own."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import child
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
    run: Path, metrics: list[str], threads: int, longest: float, **environment: str
) -> dict[str, Any]:
    """Figures of a run's last checkpoint by `task=evaluate`, and their protocol."""
    if not metrics:
        return {"figures": {}, "protocol": ""}
    environment["OMP_NUM_THREADS"] = str(threads)
    score = [*RUN, "task=evaluate", f"ckpt={run}", f"metrics=[{','.join(metrics)}]"]
    with tempfile.TemporaryDirectory() as folder:
        child([*score, f"hydra.run.dir={folder}/scores"], longest, **environment)
        text = Path(folder, "scores", "metrics.json").read_text(encoding="utf-8")
    result = Result.from_json(text)
    return {"figures": result.figures, "protocol": str(result.protocol)}
