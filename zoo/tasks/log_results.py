"""Figures of `task=evaluate` for the loggers that a command line asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zoo.cli.grammar import key_of
from zoo.contracts.task import Run
from zoo.core.errors import ZooError, shown

if TYPE_CHECKING:
    from zoo.metrics.protocol import Result


def check_tags(run: Run) -> None:
    """Refuse words for loggers where there is none.

    Raises:
        ZooError: `tags=…` without a `logger=…` that takes them.
    """
    if run.config.get("tags") and not (_asks_for_loggers(run) and run.config.get("logger")):
        raise ZooError(
            "tags=… are words for loggers, and task=evaluate logs its figures only where one is "
            "chosen: add logger=csv, tensorboard, wandb or mlflow, or leave tags out."
        )


def log_results(run: Run, results: list[Result]) -> dict[str, str]:
    """Log each result's figures at its images seen, and all of them as a table.

    Returns:
        Where the logs are; empty where no `logger=…` was given.
    """
    if not _asks_for_loggers(run):
        return {}
    from zoo.training.callbacks.logs import log_table
    from zoo.training.trainer import make_loggers

    apart = ("model", "datamodule", "trainer")  # of which evaluating uses none
    config = {k: v for k, v in run.config.items() if k not in apart}
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
    return any(key_of(o).partition(".")[0] == "logger" for o in run.overrides)
