"""What stands between the command line and a task: words for errors, exit codes, resuming.

Everything that `gan-zoo`, or `python run.py`, does before and after Hydra; torch is imported only
by the task.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo.cli import overrides as words
from zoo.cli.resume import continue_run
from zoo.cli.store import store_parts
from zoo.cli.validation import validate
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY, create
from zoo.registry.places import CONFIGS

_failures: list[str] = []
_errors: list[Exception] = []
_full = False  # show tracebacks
_WISH = "ZOO_FULL_ERROR"  # `_full` for processes that a training starts


def main(run: Callable[[], Any] | None = None) -> None:
    """Check the command line, hand it to Hydra, and turn errors into one sentence each.

    Args:
        run: what to do with a command line that is right; None runs its task.
    """
    with _told_in_words():
        sys.argv[1:] = words.normalise(sys.argv[1:])
        flags = words.flags(sys.argv[1:])
        prints = bool(flags.help or flags.hydra_help or flags.info or flags.cfg)
        REGISTRY.scan(strict=not (prints or flags.shell_completion))
        store_parts()
        if not flags.shell_completion:  # whose lines are read by a shell
            for place, reason in REGISTRY.problems:
                print(f"warning: plugin {place} is left out: {reason}", file=sys.stderr)
            if not prints:
                sys.argv[1:] = words.collect_space(continue_run(sys.argv[1:]))
            if flags.overrides or not prints:
                words.check(sys.argv[1:], CONFIGS, only_prints=prints)
        (run or _with_hydra())()
        if _errors:
            raise _errors[0]
    if _failures:
        sys.exit(1)


def _with_hydra() -> Callable[[], Any]:
    """`run_job` with the configuration that Hydra makes of the command line."""
    with_config = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="config")
    return with_config(run_job)


def run_job(config: DictConfig) -> None:
    """Run the task that `config` selects in the folder that Hydra made for this job."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    job = HydraConfig.get()
    out = Path(job.runtime.output_dir)
    if job.mode != RunMode.MULTIRUN:
        try:
            run_task(config, out, list(job.overrides.task))
        except Exception as error:  # Hydra would print a line of its own about it
            _errors.append(error)
        return
    print(f"\nrun {job.job.num}: {' '.join(job.overrides.task)}")
    summary = try_task(config, out, list(job.overrides.task))
    if "error" in summary:  # the sweep goes on; its table tells which run failed, and why
        _failures.append(summary["error"])
        print(f"error: run {job.job.num}: {summary['error']}", file=sys.stderr)


def try_task(config: DictConfig, out: Path, overrides: list[str]) -> dict[str, Any]:
    """`run_task` as one of many: writes `summary.json`; a failure becomes the entry `error`."""
    try:
        summary = run_task(config, out, overrides)
    except Exception as error:
        if _full:
            traceback.print_exc()
        summary = {"error": sentence_of(error)}
    write_json(out / "summary.json", summary)
    return summary


def run_task(config: DictConfig, out: Path, overrides: list[str]) -> dict[str, Any]:
    """Make the task from `config`, run it in `out` and print what it returns.

    Returns:
        The task's summary: labels with texts, numbers or paths.
    """
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ZooError(words.omegaconf_sentence(error)) from error
    assert isinstance(plain, dict)
    validate(config)
    part = REGISTRY.get("task", plain["task"]["_target_"])
    options = {p.name: plain[p.name] for p in part.parameters if p.name in plain}
    task = create("task", part.name, **options)
    task.config, task.overrides = plain, overrides
    summary: dict[str, Any] = task(out) or {}
    if not getattr(task, "writes_files", True):
        _remove_unused(out)
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        width = max(map(len, summary), default=0)
        for label, value in summary.items():
            print(f"{label:<{width}}  {value}")
    return summary


def _remove_unused(folder: Path) -> None:
    """Remove the folder of a task that wrote nothing, with parents that are empty then."""
    with contextlib.suppress(OSError):
        if {p.name for p in folder.iterdir()} <= {".hydra"}:
            shutil.rmtree(folder / ".hydra", ignore_errors=True)
            for empty in (folder, *folder.parents[:2]):
                empty.rmdir()


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
    temporary.replace(path)


@contextlib.contextmanager
def _told_in_words() -> Iterator[None]:
    """Print an error as one sentence and exit with 1; `debug=true` shows its traceback."""
    global _full
    asked = os.environ.get(_WISH, os.environ.get("HYDRA_FULL_ERROR", "0"))
    _full = asked == "1" or "debug=true" in map(str.lower, sys.argv[1:])
    try:
        # Hydra prints a traceback of its own unless it is asked to let exceptions through; the
        # processes of a DDP training inherit that, and need another way to tell what the user said.
        with _environment(HYDRA_FULL_ERROR="1", **{_WISH: str(int(_full))}):
            yield
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C.", code=130)
    except BrokenPipeError:  # the reader of `run.py --help | head` has gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    except Exception as error:
        rank = os.environ.get("LOCAL_RANK", "0")
        if rank == "0":
            _fail(sentence_of(error))
        if isinstance(error, ZooError) and not _full:  # every process has it, and the first tells
            sys.exit(1)
        _fail(f"process {rank}: {sentence_of(error)}")


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def sentence_of(error: Exception) -> str:
    """What the user reads of an error."""
    if isinstance(error, ZooError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or ''}".rstrip(": ")
    return (
        f"{type(error).__name__}: {' '.join(str(error).split())} (This is a defect or an "
        "unforeseen input; the same command with debug=true shows where.)"
    )


def _fail(sentence: str, code: int = 1) -> None:
    if _full:
        traceback.print_exc()
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(code)
