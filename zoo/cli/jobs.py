"""One task with its configuration in its folder, alone or as one run of many."""

from __future__ import annotations

import contextlib
import shutil
import traceback
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo.cli.failures import error_sentence, shows_tracebacks
from zoo.cli.sentences import omegaconf_sentence
from zoo.cli.validation import validate
from zoo.contracts.task import Run, Task
from zoo.core.atomic import write_json
from zoo.core.errors import ZooError, shown
from zoo.core.launch import is_first
from zoo.core.tables import labelled
from zoo.registry import REGISTRY, create


def try_task(config: DictConfig, out: Path, overrides: list[str]) -> dict[str, Any]:
    """`run_task` as one of many: writes `summary.json`; a failure becomes the entry `error`."""
    try:
        summary = run_task(config, out, overrides, keep=True)
    except Exception as error:
        if shows_tracebacks():
            traceback.print_exc()
        summary = {"error": error_sentence(error)}
    write_json(out / "summary.json", summary)
    return summary


def run_task(
    config: DictConfig, out: Path, overrides: list[str], keep: bool = False
) -> dict[str, Any]:
    """`run_checked` with a configuration that is not checked yet.

    Raises:
        ZooError: a value or a part that cannot be; or what the task raises.
    """
    validate(config)
    return run_checked(config, out, overrides, keep)


def run_checked(
    config: DictConfig, out: Path, overrides: list[str], keep: bool = False
) -> dict[str, Any]:
    """Make the task from `config`, run it in `out` and print what it returns.

    Args:
        config: composed and checked, with or without Hydra's own settings.
        keep: leave the folder of a task that failed as it is.

    Returns:
        The task's summary: labels with texts, numbers or paths.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ZooError(omegaconf_sentence(error)) from error
    assert isinstance(plain, dict)
    part = REGISTRY.get("task", plain["task"]["_target_"])
    options = {p.name: plain[p.name] for p in part.parameters if p.name in plain}
    first = is_first()
    try:
        task: Task = create("task", part.name, **options)
        summary = task(Run(out, {str(k): v for k, v in plain.items()}, tuple(overrides)))
    except BaseException:  # Ctrl-C too
        if not keep:
            remove_unused(out)  # nothing of a refused task is left
        raise
    if not first or not task.writes_files:
        remove_unused(out)
    if first:
        lines = {
            label: shown(value) if isinstance(value, Path) else value
            for label, value in summary.items()
            if label not in task.printed
        }
        if lines:
            print(labelled(lines))
    return summary


def writes_files(config: DictConfig) -> bool:
    """Whether the task that `config` selects leaves anything in the run's folder."""
    return bool(REGISTRY.get("task", config.task["_target_"]).load().writes_files)


def run_without_folder(config: DictConfig) -> None:
    """`run_checked` for a task that writes no files, with Hydra's own settings in `config`.

    Hydra would make the run's folder first, and not every folder can be written.
    """
    bare = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    run_checked(bare, Path(str(config.hydra.run.dir)), list(config.hydra.overrides.task))


def remove_unused(folder: Path) -> None:
    """Remove the folder of a task that wrote nothing, with parents that are empty then."""
    with contextlib.suppress(OSError):
        if {p.name for p in folder.iterdir()} <= {".hydra"}:
            shutil.rmtree(folder / ".hydra", ignore_errors=True)
            here = Path.cwd()
            for empty in (folder, *folder.parents[:2]):
                if here.is_relative_to(empty.absolute()):  # where the user is
                    break
                empty.rmdir()
