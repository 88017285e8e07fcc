"""A run's folder around a checkpoint: results of `task=evaluate`, findings of the training."""

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
    """The folder of the run that wrote a checkpoint; None for one that lies elsewhere."""
    run = file.parent.parent
    return run if file.parent.name == "checkpoints" and (run / ".hydra").is_dir() else None


def results_folder(run: Path) -> Path | None:
    """Where the results of a run lie; None where that is a link, which leads out of the run."""
    folder = run / "evaluations"
    return None if folder.is_symlink() else folder


def run_name(model: LoadedGenerator, given: str | None = None) -> str:
    """Which training a model comes from: its run's folder, else what was given for its file."""
    run = run_folder(model.file)
    return run.name if run is not None else given or str(model.file)


def generator_hash(generator: Generator) -> str:
    """12 hex digits by which a result knows its model: a hash of the parameters, read in fp32."""
    return tensors_hash((name, value.float()) for name, value in generator.named_parameters())


def read_result(file: Path) -> Result:
    """Read a result.

    Raises:
        ZooError: the file is missing or something else.
    """
    try:
        return Result.from_json(read_text(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ZooError(f"{file} cannot be read: {error}.") from error
    except ZooError as error:
        raise ZooError(f"{file}: {error}") from error


def read_results(files: Iterable[Path]) -> dict[Path, Result]:
    """The results in `files`; a warning for each that cannot be read, and so is left out."""
    results = {}
    for file in files:
        try:
            results[file] = read_result(file)
        except ZooError as error:
            warnings.warn(f"a result is left out: {error}", ZooWarning, stacklevel=3)
    return results


def find_results(model: LoadedGenerator, evaluation: str | None = None) -> list[Result]:
    """The result that `evaluation` names, else those for this very model in its run's folder.

    Those of other weights or batch-norm statistics are left out, and damaged ones with a warning.
    Results without a hash of their generator go by the number of images seen.

    Raises:
        ZooError: `evaluation` is missing or something else.
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
    """The sentences that a training said about itself, from its `diagnostics.json`.

    Raises:
        ZooError: the file is damaged.
    """
    try:
        rows = json.loads(read_text(file))
        return tuple(f"epoch {row['epoch']}: {row['sentence']}" for row in rows)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ZooError(f"{file} cannot be read ({type(error).__name__}: {error}).") from error
