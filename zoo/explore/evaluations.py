"""A run's folder around a checkpoint, and the results of `task=evaluate` in it."""

from __future__ import annotations

from pathlib import Path

from zoo.checkpoint import LoadedGenerator
from zoo.errors import ZooError
from zoo.metrics.protocol import Result


def run_folder(file: Path) -> Path:
    """The folder of the run that wrote a checkpoint."""
    return file.parent.parent if file.parent.name == "checkpoints" else file.parent


def read_result(file: Path) -> Result:
    """Read a result.

    Raises:
        ZooError: the file is missing or something else.
    """
    try:
        return Result.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"{file} cannot be read: {error}.") from error
    except ZooError as error:
        raise ZooError(f"{file}: {error}") from error


def find_results(model: LoadedGenerator) -> list[Result]:
    """The results for this very checkpoint in the folder of its run."""
    folder = run_folder(model.file) / "evaluations"
    return [read_result(file) for file in sorted(folder.glob(f"images_{model.images_seen:09d}_*"))]
