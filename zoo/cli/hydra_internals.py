"""Hydra's private names, and what is changed of its classes.

tests/cli/test_hydra_internals.py watches them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from zoo.core.errors import ZooError
from zoo.registry.places import CONFIGS


class _Parser(argparse.ArgumentParser):
    """A parser whose help may be an object that becomes text where it is printed.

    Hydra's help of `--shell-completion` is one; Python 3.14 looks into every help at once.
    """

    def _check_help(self, action: argparse.Action) -> None:
        """Leave Hydra's help as it is."""


def argument_parser() -> argparse.ArgumentParser:
    """Hydra's own parser of the command line; Hydra's later ones are of the same class."""
    from hydra._internal import utils

    utils.argparse = SimpleNamespace(ArgumentParser=_Parser)  # type: ignore[assignment]
    return utils.get_args_parser()


def share_config_store() -> None:
    """Let copies of the store be the store itself.

    `--help` copies it once per group, which took seconds. It is a singleton that copies each node
    it hands out.
    """
    ConfigStore.__deepcopy__ = lambda self, memo: self  # type: ignore[attr-defined]


def run_composed(config: DictConfig, function: Callable[[DictConfig], Any]) -> None:
    """Call `function` as `hydra.main` would, which composes the command line twice more.

    Args:
        config: as `hydra.compose` gives it with `return_hydra_config=True`.
        function: is given `config` without Hydra's own settings, which `HydraConfig` then holds.
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
            done = run_job(function, config, "hydra.run.dir", None, context)
        except OSError as error:  # of the folder: those of the task are in `done`
            raise ZooError(
                f"the run's folder {config.hydra.run.dir} cannot be written "
                f"({error.strerror or error}); choose another one with hydra.run.dir=…"
            ) from error
        callbacks.on_run_end(config=config, config_name="config", job_return=done)
        done.return_value  # noqa: B018  # raises what `function` raised
