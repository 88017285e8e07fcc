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


def trained_and_scored(
    settings: list[str],
    metrics: list[str],
    threads: int,
    longest: float,
    keep: Path | None = None,
    **environment: str,
) -> dict[str, Any]:
    """Images, seconds of training and figures of one training through run.py and its evaluation.

    Args:
        settings: of the training.
        metrics: of `task=evaluate` on the last checkpoint; none: it is not evaluated.
        longest: seconds that either of the two may take.
        keep: folder of the run, in the place of an earlier one; None keeps nothing.
        environment: additions to that of both processes.
    """
    run_py = [sys.executable, "run.py"]
    environment["OMP_NUM_THREADS"] = str(threads)
    with tempfile.TemporaryDirectory() as folder:
        run, scores = keep or Path(folder, "run"), Path(folder, "scores")
        if run.exists():
            shutil.rmtree(run)
        train = [*run_py, *settings, f"hydra.run.dir={run}"]
        text = child(train, longest, **environment)[2]
        found = re.findall(r"^trained +([\d,]+) images in (\d+) s", text, re.MULTILINE)
        images, seconds = found[-1]
        trained = {"images": int(images.replace(",", "")), "seconds": int(seconds)}
        if not metrics:
            return {**trained, "figures": {}, "protocol": ""}
        score = [*run_py, "task=evaluate", f"ckpt={run}", f"metrics=[{','.join(metrics)}]"]
        child([*score, f"hydra.run.dir={scores}"], longest, **environment)
        result = Result.from_json((scores / "metrics.json").read_text(encoding="utf-8"))
    return {**trained, "figures": result.figures, "protocol": str(result.protocol)}
