"""What stands between the command line and a task: words for errors, exit codes, resuming.

Everything that `python run.py` does before and after Hydra; torch is imported only by the task.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo import overrides as words
from zoo.discovery import ROOT
from zoo.errors import ZooError
from zoo.registry import REGISTRY, create
from zoo.store import store_parts

CONFIGS = ROOT / "configs"
_FLAGS_THAT_ONLY_PRINT = (
    "--help", "-h", "--hydra-help", "--version", "--info", "-i", "--cfg", "-c", "-sc", "--shell",
)  # fmt: skip
_failures: list[str] = []


def main(run: Callable[[], Any]) -> None:
    """Check the command line, hand it to Hydra, and turn errors into one sentence each."""
    with _told_in_words():
        for place, reason in REGISTRY.problems if REGISTRY.parts() else ():
            print(f"warning: plugin {place} is left out: {reason}", file=sys.stderr)
        store_parts()
        sys.argv[1:] = words.normalise(sys.argv[1:])
        prints = any(a.startswith(_FLAGS_THAT_ONLY_PRINT) for a in sys.argv[1:])
        if not prints:
            sys.argv[1:] = words.continue_run(sys.argv[1:])
        if not prints or any("=" in a for a in sys.argv[1:]):
            words.check(sys.argv[1:], CONFIGS, only_prints=prints)
        run()
    if _failures:
        sys.exit(1)


def run_job(config: DictConfig) -> None:
    """Run the task that `config` selects in the folder that Hydra made for this job."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    out = Path(hydra.runtime.output_dir)
    if hydra.mode != RunMode.MULTIRUN:
        run_task(config, out, list(hydra.overrides.task))
        return
    try:
        summary = run_task(config, out, list(hydra.overrides.task))
    except ZooError as error:  # the sweep goes on; its table tells which run failed, and why
        _failures.append(str(error))
        print(f"error: run {hydra.job.num}: {error}", file=sys.stderr)
        summary = {"error": str(error)}
    write_json(out / "summary.json", summary)


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
    part = REGISTRY.get("task", plain["task"]["_target_"])
    task = create("task", part.name, **{str(p.name): plain[p.name] for p in part.options})
    task.config, task.overrides = plain, overrides
    summary: dict[str, Any] = task(out) or {}
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        width = max(map(len, summary), default=0)
        for label, value in summary.items():
            print(f"{label:<{width}}  {value}")
    return summary


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
    temporary.replace(path)


@contextlib.contextmanager
def _told_in_words() -> Iterator[None]:
    """Print an error as one sentence and exit with 1; `HYDRA_FULL_ERROR=1` or `debug=true` shows all."""
    full = os.environ.get("HYDRA_FULL_ERROR") == "1" or "debug=true" in sys.argv[1:]
    if full:
        os.environ["HYDRA_FULL_ERROR"] = "1"
    # Hydra prints a traceback of its own unless it is asked to let exceptions through.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    except ZooError as error:
        _fail(str(error), full)
    except KeyboardInterrupt:
        _fail("stopped by Ctrl-C.", full, code=130)
    except BrokenPipeError:  # the reader of `run.py --help | head` has gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), full)
    except Exception as error:
        reason = " ".join(str(error).split())
        _fail(
            f"{type(error).__name__}: {reason} (This is a defect or an unforeseen input; "
            "the same command with debug=true shows where.)",
            full,
        )


def _fail(sentence: str, full: bool, code: int = 1) -> None:
    if full:
        traceback.print_exc()
    print(f"error: {sentence}", file=sys.stderr)
    sys.exit(code)
