"""Turn errors and signals into one sentence each, with an exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, TextIO

from zoo.cli.grammar import value_of
from zoo.core.environment import environment
from zoo.core.errors import OwnError, ZooError, ZooWarning, printable
from zoo.core.faults import is_disk_full
from zoo.core.launch import is_first, rank, started_by_srun, started_by_torchrun
from zoo.registry.places import CONFIGS

FULL_ERROR = "ZOO_FULL_ERROR"
"""The environment variable that says whether tracebacks are shown, for processes of a training."""
_SIGNALS = {
    "SIGTERM": "stopped by SIGTERM, with which batch systems and containers end a program",
    "SIGHUP": "stopped by SIGHUP, since the terminal was closed",
    "SIGUSR1": "stopped by SIGUSR1, with which SLURM warns that the time limit is near",
}
_OTHER_BUILD = "operator torchvision::"
"""Part of torch's error message if torchvision is of another build, such as a CPU wheel with a CUDA
torch."""
_full = False  # whether to show tracebacks


_FIRST_PRINTS = 5.0
"""Seconds that the first process of a training has to print an error that all processes raise."""


class Stopped(KeyboardInterrupt):
    """Raised when a signal ends the program.

    Args:
        number: the number of the signal.
        resume: the command that resumes the training; empty if no checkpoint was written.

    Attributes:
        onward: what the message says about going on from there.
    """

    def __init__(self, number: int, resume: str = "") -> None:
        super().__init__(number, resume)
        name = signal.Signals(number).name
        self.number = number
        self.resume = resume
        self.code = 130 if name == "SIGINT" else 143
        self.what = _SIGNALS.get(name, "stopped by Ctrl-C")
        how = "the training is saved, resume it with" if name in _SIGNALS else "resume with"
        self.onward = f"{how}: {resume}" if resume else "run the same command to start again."

    def __str__(self) -> str:
        return f"{self.what}; {self.onward}"


def _presets() -> set[str]:
    """Return the valid values of `debug=`; an invalid one must not turn on tracebacks."""
    return {"true", *(file.stem for file in (CONFIGS / "debug").glob("*.yaml"))}


def shows_tracebacks() -> bool:
    """Whether errors are printed with their tracebacks."""
    return _full


@contextlib.contextmanager
def exit_with_sentence() -> Iterator[None]:
    """Print an error as one sentence and exit with code 1, or with 130 or 143 after a signal.

    A signal that would end the program without a word raises `Stopped`.

    With `debug=…`, the traceback is printed too.
    """
    global _full
    setting = os.environ.get(FULL_ERROR, os.environ.get("HYDRA_FULL_ERROR", "0"))
    _full = setting == "1" or (value_of(sys.argv[1:], "debug") or "").lower() in _presets()
    try:
        # HYDRA_FULL_ERROR=1 makes Hydra raise exceptions instead of printing them. The processes of
        # a DDP training inherit it, so a second variable passes on the user's choice.
        with (
            environment(HYDRA_FULL_ERROR="1", **{FULL_ERROR: str(int(_full))}),
            _plain_warnings(),
            _signals_raised(),
        ):
            yield
    except KeyboardInterrupt as error:  # deliberate: neither an error nor worth a traceback
        stopped = as_stopped(error)
        _end(str(stopped) if is_first() else "", stopped.code)
    except BrokenPipeError:  # the reader has exited, as in `run.py --help | head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    except Exception as error:
        if is_first():
            _fail(error_sentence(error))
        shared = isinstance(error, ZooError) and not isinstance(error, OwnError)
        if shared and not _full:  # every process raises it, and the first one prints it
            if started_by_torchrun() or started_by_srun():
                time.sleep(_FIRST_PRINTS)  # they end all processes once one of them has failed
            sys.exit(1)
        _fail(f"process {rank()}: {error_sentence(error)}")


def as_stopped(error: KeyboardInterrupt) -> Stopped:
    """Return an interrupt as one that says how to go on."""
    return error if isinstance(error, Stopped) else Stopped(signal.SIGINT)


@contextlib.contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise `Stopped` on the signals that end a program, except on those that are ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    process = os.getpid()

    def stop(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends the program at once
        if os.getpid() == process:
            raise Stopped(number)
        os.kill(os.getpid(), number)  # a forked worker, which has inherited this function

    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    handled = [n for n in numbers if signal.getsignal(n) is signal.SIG_DFL]
    try:
        for number in handled:
            signal.signal(number, stop)
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print the zoo's warnings as sentences, without the line of code that issued them."""
    original = warnings.showwarning

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
            original(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = original


def error_sentence(error: Exception) -> str:
    """Return the sentence that explains an error to the user."""
    if isinstance(error, ZooError):
        return str(error)
    if is_disk_full(error) and isinstance(error, OSError):
        place = error.filename or "to the disk"
        return f"cannot write {place}: {error.strerror}; free some space."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename or ''}".rstrip(": ")
    if _OTHER_BUILD in str(error):
        return (
            f"torch {version('torch')} and torchvision {version('torchvision')} are of different "
            "builds: install both from one index, for example pip install --force-reinstall torch "
            "torchvision --index-url https://download.pytorch.org/whl/cpu."
        )
    if type(error).__module__.partition(".")[0] == "submitit":  # of which the first line says most
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        return (
            f"the launcher could not run the sweep's jobs: {first.strip()} (The folder .submitit "
            "of the sweep has what they printed.)"
        )
    return (
        f"{type(error).__name__}: {' '.join(str(error).split())} (This is a bug or an unexpected "
        "input; run the same command with debug=traceback to see where it happens.)"
    )


def _fail(sentence: str) -> None:
    """Print an error, with the current traceback if these are shown, and exit with code 1."""
    if _full:
        with contextlib.suppress(OSError):
            traceback.print_exc()
    _end(f"error: {sentence}", 1)


def _end(message: str, code: int) -> None:
    """Print a message, if there is one, and exit."""
    if message:
        with contextlib.suppress(OSError):  # the terminal may be closed
            print(message, file=sys.stderr, flush=True)
    sys.exit(code)
