"""One run of a configuration that is composed already: in its folder, with Hydra's notes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig


def run_composed(config: DictConfig, function: Callable[[DictConfig], Any]) -> None:
    """Call `function` as `hydra.main` would, which composes the command line twice more.

    Args:
        config: as `hydra.compose` gives it with `return_hydra_config=True`.
        function: is given `config` without Hydra's own settings, which `HydraConfig` then holds.
    """
    from hydra import initialize_config_dir
    from hydra._internal.callbacks import Callbacks
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.utils import run_job
    from hydra.types import HydraContext, RunMode

    from zoo.registry.places import CONFIGS

    config.hydra.mode = RunMode.RUN
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS), job_name="main"):
        callbacks = Callbacks(config)
        callbacks.on_run_start(config=config, config_name="config")
        context = HydraContext(GlobalHydra.instance().config_loader(), callbacks)
        done = run_job(function, config, "hydra.run.dir", None, context)
        callbacks.on_run_end(config=config, config_name="config", job_return=done)
        done.return_value  # noqa: B018  # raises what `function` raised
