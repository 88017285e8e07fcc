"""The trainer's `fit` for `task=train`: its errors in words, its signals, its silence."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.cli.failures import Stopped
from zoo.cli.grammar import argument
from zoo.cli.program import program
from zoo.core.errors import ZooError, listing, shown
from zoo.core.faults import is_lost_peer, is_out_of_memory


def keeper_of(callbacks: Iterable[Any]) -> Any:
    """The callback that writes the checkpoints, also when a signal comes; None without one."""
    return next((c for c in callbacks if hasattr(c, "stopped_by")), None)


def fit(trainer: Any, gan: Any, data: Any, checkpoint: Path | None) -> None:
    """`trainer.fit`, with errors in words and signals as `Stopped`."""
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from zoo.core.torch_internals import COMPILER

    keeper = keeper_of(trainer.callbacks)
    try:
        with _restoring_told(checkpoint, gan):
            trainer.fit(gan, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as error:
        number = keeper.stopped_by if keeper is not None else None
        if number is None and isinstance(error.__context__, KeyboardInterrupt):
            number = signal.SIGINT  # without such a callback
        if not trainer.is_global_zero:
            sys.stdout.flush()
            os._exit(130)  # the first process tells; this one must not wait for it
        if number is None:
            raise
        saved = keeper is not None and keeper.last.is_file()  # not so before the first step
        run = argument("resume", shown(keeper.folder.parent)) if saved else ""
        raise Stopped(number, run and f"{program()} {run}") from None
    except MisconfigurationException as error:
        raise ZooError(f"trainer: {' '.join(str(error).split())}") from error
    except RuntimeError as error:
        if not str(error).startswith("Early stopping conditioned on metric"):
            raise
        metric = str(error).partition("`")[2].partition("`")[0]
        logged = listing(sorted(trainer.callback_metrics))
        raise ZooError(
            f"early stopping waits for the metric {metric!r}, which is not logged; logged are: "
            f"{logged}; callbacks=evaluate logs fid."
        ) from error
    except Exception as error:
        if gan.compile_step and type(error).__module__.startswith(COMPILER):
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ZooError(
                f"torch.compile failed ({reason.strip()}): train without model.compile=true"
            ) from error
        raise


@contextmanager
def _restoring_told(checkpoint: Path | None, gan: Any) -> Iterator[None]:
    """Turn what a checkpoint's state raises before the training goes on into one sentence.

    The state of optimizers, callbacks and random numbers may be anything: nothing describes it.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        if checkpoint is None or gan.started or is_out_of_memory(e) or is_lost_peer(e):
            raise
        reason = " ".join(str(e).split())[:300]
        raise ZooError(
            f"{shown(checkpoint)} cannot be continued, since its state does not fit this training "
            f"({type(e).__name__}: {reason}); model.start={shown(checkpoint)} begins a new one "
            "with its weights."
        ) from e


def quiet() -> None:
    """Silence hints of Lightning's that do not hold for this program."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        "does not have many workers",  # batches come from memory
        "Checkpoint directory .* exists and is not empty",
        "tensorboardX",
        "`srun` command is available",  # nor need it be used, on a login node or with torchrun
        "have no `validation_step`",  # callbacks evaluate
        r"Found \d+ module\(s\) in eval mode",  # the averaged generator is meant to be
        "callbacks used to create the checkpoint need to be provided",  # left out on purpose
        "is smaller than the logging interval",  # the end of an epoch is logged always
    ):
        warnings.filterwarnings("ignore", message=f".*{text}.*")
    warnings.filterwarnings("ignore", category=FutureWarning, module="pytorch_lightning.*")
