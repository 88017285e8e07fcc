"""Run a task with its configuration in a folder, alone or as one of many runs."""

from __future__ import annotations

import contextlib
import shutil
import traceback
from collections.abc import Callable, Iterator
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

_HYDRAS = ".hydra"
"""The folder within a run's folder in which Hydra writes the configuration."""


def try_task(config: DictConfig, out: Path, overrides: list[str]) -> dict[str, Any]:
    """Run a task as one of many, and write its summary to `summary.json`.

    An exception becomes the summary's entry `error`, so that the other runs continue.
    """
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
    """Check a configuration and run its task, as `run_checked` does.

    Raises:
        ZooError: the configuration has a wrong value or part, or the task raises it.
    """
    validate(config)
    return run_checked(config, out, overrides, keep)


def run_checked(
    config: DictConfig, out: Path, overrides: list[str], keep: bool = False
) -> dict[str, Any]:
    """Create the task from `config`, run it in `out` and print its summary.

    Args:
        config: a composed and checked configuration, with or without Hydra's own settings.
        out: the folder of the run.
        overrides: the user's overrides.
        keep: whether to keep `out` if the task fails without having written anything.

    Returns:
        The task's summary: labels with strings, numbers or paths.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ZooError(omegaconf_sentence(error)) from error
    assert isinstance(plain, dict)
    part = REGISTRY.get("task", plain["task"]["_target_"])
    options = {p.name: plain[p.name] for p in part.parameters if p.name in plain}
    is_first_process = is_first()
    try:
        task: Task = create("task", part.name, **options)
        summary = task(Run(out, {str(k): v for k, v in plain.items()}, tuple(overrides)))
    except BaseException:  # including KeyboardInterrupt
        if not keep:
            remove_unused(out)
        raise
    if not is_first_process or not task.writes_files:
        remove_unused(out)
    if is_first_process:
        lines = {
            label: shown(value) if isinstance(value, Path) else value
            for label, value in summary.items()
            if label not in task.printed
        }
        if lines:
            print(labelled(lines))
    return summary


def writes_files(config: DictConfig) -> bool:
    """Whether the task that `config` selects writes files into the run's folder."""
    return bool(REGISTRY.get("task", config.task["_target_"]).load().writes_files)


def run_without_folder(config: DictConfig) -> None:
    """Run a task that writes no files without creating the run's folder, as Hydra would.

    The working directory may be read-only.

    Args:
        config: the configuration, with Hydra's own settings.
    """
    bare = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    run_checked(bare, Path(str(config.hydra.run.dir)), list(config.hydra.overrides.task))


@contextlib.contextmanager
def emptied_unless(begun: Callable[[], bool], folder: Path) -> Iterator[None]:
    """Empty a folder that was new if a task fails before it has begun its work.

    What is in the folder by then, such as the beginning of a log, is of no use.

    Args:
        begun: whether the task has begun its work, asked when it fails.
        folder: the folder of the run, in which only what Hydra wrote is kept.
    """
    was_new = not folder.exists() or _is_unused(folder)
    try:
        yield
    except BaseException:  # including KeyboardInterrupt
        if was_new and is_first() and not begun():
            for entry in [e for e in folder.iterdir() if e.name != _HYDRAS]:
                shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
        raise


def _is_unused(folder: Path) -> bool:
    return {p.name for p in folder.iterdir()} <= {_HYDRAS}


def remove_unused(folder: Path) -> None:
    """Remove the folder of a task that wrote nothing, and parents that this leaves empty."""
    with contextlib.suppress(OSError):
        if _is_unused(folder):
            shutil.rmtree(folder / _HYDRAS, ignore_errors=True)
            here = Path.cwd()
            for empty in (folder, *folder.parents[:2]):
                if here.is_relative_to(empty.absolute()):  # keep the working directory
                    break
                empty.rmdir()
