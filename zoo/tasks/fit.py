"""Run Lightning's `fit` for `task=train`: explain its errors, handle signals, silence its hints."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.cli.failures import Stopped, as_stopped
from zoo.cli.grammar import argument
from zoo.cli.program import program
from zoo.core.errors import ZooError, listing, shown
from zoo.core.faults import is_lost_peer, is_out_of_memory


def keeper_of(callbacks: Iterable[Any]) -> Any:
    """Return the callback that writes checkpoints, also after a signal; None without one."""
    return next((c for c in callbacks if hasattr(c, "stopped_by")), None)


def fit(trainer: Any, gan: Any, data: Any, checkpoint: Path | None) -> None:
    """Call `trainer.fit`, and turn its errors into sentences and signals into `Stopped`.

    Args:
        trainer: Lightning's trainer.
        gan: the module to train.
        data: the datamodule.
        checkpoint: the checkpoint to resume; None for a new training.

    Raises:
        Stopped: a signal ended the training.
        ZooError: the training fails for a reason that can be explained.
    """
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from zoo.core.torch_internals import COMPILER

    keeper = keeper_of(trainer.callbacks)
    try:
        with _restore_errors_explained(checkpoint, gan):
            trainer.fit(gan, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as error:
        number = keeper.stopped_by if keeper is not None else None
        if number is None and isinstance(error.__context__, KeyboardInterrupt):
            number = as_stopped(error.__context__).number  # no callback has recorded it
        if not trainer.is_global_zero:
            sys.stdout.flush()
            os._exit(130)  # the first process prints the message, and must not be waited for
        if number is None:
            raise
        saved = keeper is not None and keeper.last.is_file()  # false before the first step
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
            f"early stopping needs the metric {metric!r}, which is not logged. Logged are "
            f"{logged}; add callbacks=evaluate to log fid."
        ) from error
    except Exception as error:
        if gan.compile_step and type(error).__module__.startswith(COMPILER):
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ZooError(
                f"torch.compile failed ({reason.strip()}): train without model.compile=true"
            ) from error
        raise


@contextmanager
def _restore_errors_explained(checkpoint: Path | None, gan: Any) -> Iterator[None]:
    """Explain errors that occur while the state in a checkpoint is restored.

    The state of optimizers, callbacks and random numbers in a file may be anything, and cannot be
    checked against a description.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        if checkpoint is None or gan.started or is_out_of_memory(e) or is_lost_peer(e):
            raise
        reason = " ".join(str(e).split())[:300]
        raise ZooError(
            f"{shown(checkpoint)} cannot be resumed, because its state does not fit this training "
            f"({type(e).__name__}: {reason}); model.start={shown(checkpoint)} starts a new "
            "training from its weights."
        ) from e


def quiet() -> None:
    """Silence those of Lightning's hints that do not apply to this program."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        "does not have many workers",  # batches come from memory
        "Checkpoint directory .* exists and is not empty",
        "tensorboardX",
        "`srun` command is available",  # it is not needed on a login node or with torchrun
        "have no `validation_step`",  # callbacks evaluate
        r"Found \d+ module\(s\) in eval mode",  # the EMA generator is always in eval mode
        "callbacks used to create the checkpoint need to be provided",  # left out on purpose
        "is smaller than the logging interval",  # the end of an epoch is always logged
    ):
        warnings.filterwarnings("ignore", message=f".*{text}.*")
    warnings.filterwarnings("ignore", category=FutureWarning, module="pytorch_lightning.*")
