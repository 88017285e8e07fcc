"""Lightning's profilers, with their tables in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.launch import is_first

if TYPE_CHECKING:
    from pytorch_lightning.profilers import Profiler

_NAME = "profiler"


def make_profiler(kind: str, out: Path) -> Profiler | str:
    """Create one of Lightning's profilers, which writes its table and traces to `out`.

    Only the first of several processes is profiled: all do the same work, and the tables of the
    others might be removed while they are being written.
    """
    from pytorch_lightning import profilers

    from zoo.training.lightning import NoProfiler

    if not is_first():
        return NoProfiler()
    classes: dict[str, Any] = {
        "simple": profilers.SimpleProfiler,
        "advanced": profilers.AdvancedProfiler,
        "pytorch": profilers.PyTorchProfiler,
    }
    return classes[kind](dirpath=str(out), filename=_NAME) if kind in classes else kind


def take_profile(out: Path) -> str:
    """Return the table of a training that has ended, and delete the profiler's files.

    The files are the only source, since a profiler clears its measurements once it has written
    them.
    """
    files = sorted(out.glob(f"*{_NAME}*.txt"))
    text = "\n".join(file.read_text(encoding="utf-8").strip() for file in files)
    for file in files:
        file.unlink()
    return text
