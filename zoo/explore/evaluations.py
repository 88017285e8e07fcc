"""A run's folder around a checkpoint: results of `task=evaluate`, findings of the training."""

from __future__ import annotations

import json
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
    return [
        read_result(file) for file in sorted(folder.glob(f"images_{model.images_seen:09d}*.json"))
    ]


def read_findings(file: Path) -> tuple[str, ...]:
    """The sentences that a training said about itself, from its `diagnostics.json`.

    Raises:
        ZooError: the file is damaged.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return tuple(f"epoch {row['epoch']}: {row['sentence']}" for row in rows)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ZooError(f"{file} cannot be read ({type(error).__name__}: {error}).") from error
