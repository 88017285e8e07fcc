"""Reading what the folder of a run holds: results of `task=evaluate`, and training diagnostics."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError, ZooWarning
from zoo.core.foreign import read_text
from zoo.inference.load import LoadedGenerator
from zoo.layers.pretrained import tensors_hash
from zoo.metrics.protocol import Result


def run_folder(file: Path) -> Path | None:
    """Return the folder of the run that wrote a checkpoint; None if it lies outside a run."""
    run = file.parent.parent
    return run if file.parent.name == "checkpoints" and (run / ".hydra").is_dir() else None


def results_folder(run: Path) -> Path | None:
    """Return the folder for the results of a run; None for a link, which may lead elsewhere."""
    folder = run / "evaluations"
    return None if folder.is_symlink() else folder


def run_name(model: LoadedGenerator, given: str | None = None) -> str:
    """Return the name of the run folder of a model, or else `given`, or else the model's file."""
    run = run_folder(model.file)
    return run.name if run is not None else given or str(model.file)


def generator_hash(generator: Generator) -> str:
    """Return 12 hex digits that identify a model in results: a hash of its parameters in fp32."""
    return tensors_hash((name, value.float()) for name, value in generator.named_parameters())


def read_result(file: Path) -> Result:
    """Read a result from a JSON file.

    Raises:
        ZooError: the file is missing or is not a result.
    """
    try:
        return Result.from_json(read_text(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"{file} cannot be read: {error}.") from error
    except ZooError as error:
        raise ZooError(f"{file}: {error}") from error


def read_results(files: Iterable[Path]) -> dict[Path, Result]:
    """Read the results in `files`; those that cannot be read are left out with a warning."""
    results = {}
    for file in files:
        try:
            results[file] = read_result(file)
        except ZooError as error:
            warnings.warn(f"a result is left out: {error}", ZooWarning, stacklevel=3)
    return results


def find_results(model: LoadedGenerator, evaluation: str | None = None) -> list[Result]:
    """Return the result in the file `evaluation`, or all results of a model in its run's folder.

    Results for other weights or batch-norm statistics are left out, and damaged ones with a
    warning. Results without a hash of their generator are matched by the number of images seen.

    Raises:
        ZooError: the file `evaluation` is missing or is not a result.
    """
    if evaluation is not None:
        return [read_result(Path(evaluation).expanduser())]
    run = run_folder(model.file)
    folder = None if run is None else results_folder(run)
    if folder is None:
        return []
    files = sorted(folder.glob(f"images_{model.images_seen:09d}*.json"))
    own = (model.weights, model.batch_norm)
    hashes = ("", generator_hash(model.generator))
    return [
        result
        for result in read_results(files).values()
        if (result.protocol.weights, result.protocol.batch_norm) == own
        and result.generator_hash in hashes
    ]


def read_findings(file: Path) -> tuple[str, ...]:
    """Read the diagnostic messages of a training from its `diagnostics.json`.

    Raises:
        ZooError: the file is damaged.
    """
    try:
        rows = json.loads(read_text(file))
        return tuple(f"epoch {row['epoch']}: {row['sentence']}" for row in rows)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ZooError(f"{file} cannot be read ({type(error).__name__}: {error}).") from error
