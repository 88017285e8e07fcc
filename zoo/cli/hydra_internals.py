"""All uses of Hydra's private names, and all changes to its classes.

`tests/cli/test_hydra_internals.py` notices when a new version of Hydra breaks them.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from zoo.core.errors import ZooError
from zoo.registry.places import CONFIGS


class _Parser(argparse.ArgumentParser):
    """A parser that accepts help texts that are objects, converted to strings when printed.

    The help of Hydra's `--shell-completion` is such an object, and Python 3.14 checks that every
    help text is a string as soon as its argument is added.
    """

    def _check_help(self, action: argparse.Action) -> None:
        """Skip the check of Python 3.14."""


def argument_parser() -> argparse.ArgumentParser:
    """Return Hydra's parser of the command line, and make later ones of Hydra's the same class."""
    from hydra._internal import utils

    utils.argparse = SimpleNamespace(ArgumentParser=_Parser)  # type: ignore[assignment]
    return utils.get_args_parser()


def share_config_store() -> None:
    """Make a deep copy of the config store return the store itself.

    `--help` copies the store once per group, which took seconds. Sharing it is safe, since it is a
    singleton that copies every node it returns.
    """
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


@functools.cache
def jobs_of_sweep() -> list[list[str]]:
    """Return a list that every sweep fills with the overrides of its runs, in their order.

    Hydra's plugins must have been loaded, which replaces their classes.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    jobs: list[list[str]] = []
    split = BasicSweeper.split_arguments

    def remember(overrides: Any, max_batch_size: int | None) -> list[list[list[str]]]:
        batches = split(overrides, max_batch_size)
        jobs[:] = [job for batch in batches for job in batch]
        return batches

    BasicSweeper.split_arguments = staticmethod(remember)  # type: ignore[method-assign]
    return jobs


def run_composed(config: DictConfig, function: Callable[[DictConfig], Any]) -> None:
    """Call `function` as `hydra.main` would, but without composing the configuration twice more.

    Args:
        config: the configuration, composed with `return_hydra_config=True`.
        function: called with `config` without Hydra's own settings, which `HydraConfig` then holds.

    Raises:
        ZooError: the run's folder cannot be written.
    """
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import run_job
    from hydra.types import HydraContext, RunMode

    config.hydra.mode = RunMode.RUN
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS), job_name="main"):
        callbacks = Callbacks(config)
        callbacks.on_run_start(config=config, config_name="config")
        context = HydraContext(GlobalHydra.instance().config_loader(), callbacks)
        try:
            result = run_job(function, config, "hydra.run.dir", None, context)
        except OSError as error:  # from creating the folder: errors of the task are in `result`
            raise ZooError(
                f"the run's folder {config.hydra.run.dir} cannot be written "
                f"({error.strerror or error}); choose another one with hydra.run.dir=…"
            ) from error
        callbacks.on_run_end(config=config, config_name="config", job_return=result)
        result.return_value  # noqa: B018  # raises what `function` raised
