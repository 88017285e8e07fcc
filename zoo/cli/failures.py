"""Errors and signals as one sentence each, with an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from typing import TextIO

from zoo.cli.grammar import value_of
from zoo.core.errors import OwnError, ZooError, ZooWarning, printable
from zoo.core.faults import is_disk_full
from zoo.core.launch import is_first, rank
from zoo.registry.places import CONFIGS

FULL_ERROR = "ZOO_FULL_ERROR"
"""Whether tracebacks are shown, for processes that a training starts."""
_SIGNALS = {
    "SIGTERM": "stopped by SIGTERM, with which batch systems and containers end a program",
    "SIGHUP": "stopped by SIGHUP, since the terminal was closed",
    "SIGUSR1": "stopped by SIGUSR1, with which SLURM warns that the time is over",
}
_OTHER_BUILD = "operator torchvision::"
"""In torch's error where torchvision's operators are of another build, as a CPU wheel beside a CUDA
one."""
_full = False  # show tracebacks


class Stopped(KeyboardInterrupt):
    """A training was ended by a signal.

    Args:
        number: of the signal.
        go_on: the command that continues the training; empty where no checkpoint was written.
    """

    def __init__(self, number: int, go_on: str = "") -> None:
        name = signal.Signals(number).name
        self.code = 130 if name == "SIGINT" else 143
        what = _SIGNALS.get(name, "stopped by Ctrl-C")
        saved = "the training is saved" if name in _SIGNALS else "go on with"
        super().__init__(f"{what}; {saved}: {go_on}" if go_on else f"{what}.")


def _presets() -> set[str]:
    """What `debug=` takes; a word that is none has no traceback to show."""
    return {"true", *(file.stem for file in (CONFIGS / "debug").glob("*.yaml"))}


def shows_tracebacks() -> bool:
    return _full


@contextlib.contextmanager
def exit_with_sentence() -> Iterator[None]:
    """Print an error as one sentence and exit with 1; `debug=…` shows its traceback."""
    global _full
    asked = os.environ.get(FULL_ERROR, os.environ.get("HYDRA_FULL_ERROR", "0"))
    _full = asked == "1" or (value_of(sys.argv[1:], "debug") or "").lower() in _presets()
    try:
        # Hydra prints a traceback of its own unless it is asked to let exceptions through; the
        # processes of a DDP training inherit that, and need another way to tell what the user said.
        with _environment(HYDRA_FULL_ERROR="1", **{FULL_ERROR: str(int(_full))}), _plain_warnings():
            yield
    except Stopped as stopped:  # asked for, and no error whose place one looks for
        _end(str(stopped), stopped.code)
    except KeyboardInterrupt:
        _end("stopped by Ctrl-C.", 130)
    except BrokenPipeError:  # the reader of `run.py --help | head` has gone
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    except Exception as error:
        if is_first():
            _fail(error_sentence(error))
        shared = isinstance(error, ZooError) and not isinstance(error, OwnError)
        if shared and not _full:  # every process has it, and the first tells
            sys.exit(1)
        _fail(f"process {rank()}: {error_sentence(error)}")


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print the zoo's warnings as a sentence, without the line of the code that they come from."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ZooWarning) and not _full:
            print(f"warning: {printable(str(message))}", file=sys.stderr, flush=True)
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


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


def error_sentence(error: Exception) -> str:
    """What the user reads of an error."""
    if isinstance(error, ZooError):
        return str(error)
    if is_disk_full(error) and isinstance(error, OSError):
        return f"cannot write {error.filename or 'to the disk'}: {error.strerror}; make room."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or ''}".rstrip(": ")
    if _OTHER_BUILD in str(error):
        return (
            f"torch {version('torch')} and torchvision {version('torchvision')} are of different "
            "builds: install both from one index, for example pip install --force-reinstall torch "
            "torchvision --index-url https://download.pytorch.org/whl/cpu."
        )
    return (
        f"{type(error).__name__}: {' '.join(str(error).split())} (This is a defect or an "
        "unforeseen input; the same command with debug=traceback shows where.)"
    )


def _fail(sentence: str) -> None:
    if _full:
        with contextlib.suppress(OSError):
            traceback.print_exc()
    _end(sentence, 1)


def _end(sentence: str, code: int) -> None:
    with contextlib.suppress(OSError):  # the terminal may have gone
        print(f"error: {sentence}", file=sys.stderr, flush=True)
    sys.exit(code)
