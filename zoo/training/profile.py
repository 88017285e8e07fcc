"""Lightning's profilers, whose tables are kept in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.launch import is_first

if TYPE_CHECKING:
    from pytorch_lightning.profilers import Profiler

_NAME = "profiler"


def make_profiler(kind: str, out: Path) -> Profiler | str:
    """The profiler of a name of Lightning's, which writes its table, and traces, to `out`.

    Of several processes the first one alone is looked at: all do the same, and the tables of the
    others would be taken away half written.
    """
    from pytorch_lightning import profilers

    from zoo.training.lightning import NoProfiler

    if not is_first():
        return NoProfiler()
    known: dict[str, Any] = {
        "simple": profilers.SimpleProfiler,
        "advanced": profilers.AdvancedProfiler,
        "pytorch": profilers.PyTorchProfiler,
    }
    return known[kind](dirpath=str(out), filename=_NAME) if kind in known else kind


def take_profile(out: Path) -> str:
    """The table of a training that has ended, taken out of the profiler's files.

    A profiler forgets what it has measured when it has written it down.
    """
    files = sorted(out.glob(f"*{_NAME}*.txt"))
    text = "\n".join(file.read_text(encoding="utf-8").strip() for file in files)
    for file in files:
        file.unlink()
    return text
