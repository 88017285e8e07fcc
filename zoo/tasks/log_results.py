"""Send the metrics of `task=evaluate` to the loggers that the command line chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.cli.grammar import key_of
from zoo.contracts.task import Run
from zoo.core.errors import ZooError, shown

if TYPE_CHECKING:
    from zoo.metrics.protocol import Result


def check_tags(run: Run) -> None:
    """Refuse tags without a logger to which they could go.

    Raises:
        ZooError: `tags=…` is given without `logger=…`.
    """
    if run.config.get("tags") and not (_asks_for_loggers(run) and run.config.get("logger")):
        raise ZooError(
            "tags=… are for loggers, and task=evaluate uses none by default: add logger=csv, "
            "tensorboard, wandb or mlflow, or leave tags out."
        )


def log_results(run: Run, results: list[Result]) -> dict[str, str]:
    """Log the metrics of each result at its number of images seen, and all of them as a table.

    Returns:
        The places of the logs; empty without `logger=…`.
    """
    if not _asks_for_loggers(run):
        return {}
    from zoo.training.callbacks.logs import log_table
    from zoo.training.trainer import make_loggers

    unused = ("model", "datamodule", "trainer")  # sections that task=evaluate does not use
    config = {k: v for k, v in run.config.items() if k not in unused}
    loggers = make_loggers(run.config.get("logger"), run.folder, config)
    rows = [{"model": r.run or r.model, "images_seen": r.images_seen, **r.figures} for r in results]
    for logger in loggers:
        for result in results:
            row = {**result.figures, "images_seen": result.images_seen}
            logger.log_metrics(row, step=result.images_seen)
    log_table(loggers, "figures", rows, max(r.images_seen for r in results))
    where: dict[str, str] = {}
    for logger in loggers:
        logger.save()
        logger.finalize("success")
        if hasattr(logger, "summary"):
            where |= logger.summary()
        elif logger.log_dir:
            where["log"] = shown(logger.log_dir)
    return where


def _asks_for_loggers(run: Run) -> bool:
    """Whether an override chooses or sets a logger."""
    return any(key_of(o).partition(".")[0] == "logger" for o in run.overrides)
