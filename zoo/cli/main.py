"""The program's entry point: everything that `gan-zoo` or `python run.py` does around Hydra.

It checks and completes the command line, hands it to Hydra, and turns errors into sentences and
exit codes. Only the task imports torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
from hydra.types import RunMode
from omegaconf import DictConfig

from zoo.cli.failures import Stopped, as_stopped, exit_with_sentence
from zoo.cli.hydra_internals import jobs_of_sweep, run_composed
from zoo.cli.jobs import run_checked, run_without_folder, try_task, writes_files
from zoo.cli.newest import name_newest
from zoo.cli.overrides import check, collect_space, flags, normalise
from zoo.cli.program import program
from zoo.cli.resume import continue_run
from zoo.cli.store import CONFIGS, store_parts
from zoo.cli.unstarted import commands
from zoo.cli.waiting import sleep_soon
from zoo.core.errors import ZooError
from zoo.core.streams import open_closed_streams
from zoo.core.version import __version__
from zoo.registry import REGISTRY

_failures: list[str] = []
"""The errors of a sweep's runs, which do not end the sweep."""
_errors: list[Exception] = []
"""The error of a single run."""


def main(run: Callable[[], Any] | None = None) -> None:
    """Check the command line, hand it to Hydra, and print each error as one sentence.

    Args:
        run: what to call once the command line is known to be right; None runs its task.
    """
    config = None
    open_closed_streams()
    sleep_soon()  # before torch is imported
    with exit_with_sentence():
        if "--version" in sys.argv[1:]:
            print(f"gan-zoo {__version__}")
            return
        sys.argv[1:] = normalise(sys.argv[1:])
        parsed = flags(sys.argv[1:])
        if parsed.shell_completion:
            _check_shell(parsed.overrides)
        prints = bool(parsed.help or parsed.hydra_help or parsed.info or parsed.cfg)
        REGISTRY.scan(strict=not (prints or parsed.shell_completion))
        store_parts()
        if not parsed.shell_completion:  # which prints only what the shell reads
            for place, reason in REGISTRY.problems:
                print(f"warning: plugin {place} is left out: {reason}", file=sys.stderr)
            if not prints:
                arguments = name_newest(sys.argv[1:])
                sys.argv[1:] = collect_space(continue_run(arguments, parsed.config_dir))
            if parsed.overrides or not prints:
                config = check(sys.argv[1:], CONFIGS, only_prints=prints)
        if run is not None:
            run()
        elif prints or config is None or config.hydra.mode == RunMode.MULTIRUN:
            jobs_of_sweep()
            _with_hydra()()
        elif writes_files(config):
            run_composed(config, run_job)
        else:
            run_without_folder(config)
        if _errors:
            raise _errors[0]
    if _failures:
        sys.exit(1)


def _check_shell(overrides: list[str]) -> None:
    """Refuse a query for completions without the variables in which a shell passes the text."""
    is_query = any(o.startswith("query=") for o in overrides)
    if is_query and not {"COMP_LINE", "COMP_POINT"} <= os.environ.keys():
        raise ZooError(
            "completions can be queried only by a shell, which passes the text typed so far: "
            f'install them with eval "$({program()} -sc install=bash)".'
        )


def _with_hydra() -> Callable[[], Any]:
    """Return a function that calls `run_job` with the configuration that Hydra composes."""
    with_config = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name="config")
    return with_config(run_job)


def run_job(config: DictConfig) -> None:
    """Run the task that `config` selects in the folder that Hydra made for this job."""
    from hydra.core.hydra_config import HydraConfig

    job = HydraConfig.get()
    out = Path(job.runtime.output_dir)
    if job.mode != RunMode.MULTIRUN:
        try:
            run_checked(config, out, list(job.overrides.task))
        except Exception as error:  # Hydra would print a message of its own
            _errors.append(error)
        return
    print(f"\nrun {job.job.num}: {' '.join(job.overrides.task)}")
    try:
        summary = try_task(config, out, list(job.overrides.task))
    except KeyboardInterrupt as error:
        raise _with_rest(as_stopped(error), job.job.num) from None
    if "error" in summary:  # the sweep continues; its table says which run failed, and why
        _failures.append(summary["error"])
        print(f"error: run {job.job.num}: {summary['error']}", file=sys.stderr)


def _with_rest(stopped: Stopped, number: int) -> Stopped:
    """Add the commands for what is left of a sweep that was stopped in one of its runs."""
    jobs = jobs_of_sweep()
    first = number + 1 if stopped.resume else number
    if left := len(jobs[first:]):
        lines = "\n  ".join(commands(jobs, first, sys.argv[1:]))
        what = "runs of the sweep are left: start them" if left > 1 else "run is left: start it"
        rest = f"{left} {what} with\n  {lines}"
        stopped.onward = f"{stopped.onward}\n{rest}" if stopped.resume else rest
    return stopped
