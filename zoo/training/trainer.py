"""Creating Lightning's trainer, the loggers and the callbacks from their config nodes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.errors import ZooError, listing, suggest
from zoo.registry import REGISTRY, create
from zoo.training.ends import check_ends, set_ends
from zoo.training.options import TRAINER_PARAMETERS
from zoo.training.processes import cluster_environment

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from zoo.data.base import DataModule

ALLOWED = ("pytorch_lightning.loggers.", "pytorch_lightning.callbacks.", "zoo.", "zoo_plugins.")
"""The packages from which the classes of loggers and callbacks may come."""
MATMUL_PRECISIONS = ("highest", "high", "medium")


def _class_of(name: str, node: Any, base: type) -> type:
    """Import the class that a node's `_target_` names.

    Raises:
        ZooError: The class is not in an allowed package, cannot be imported, or is not a subclass
            of `base`.
    """
    target = node.get("_target_", "") if isinstance(node, dict) else ""
    if not str(target).startswith(ALLOWED):
        raise ZooError(
            f"{name}._target_={target} is not allowed: it must start with one of "
            f"{listing(ALLOWED)}."
        )
    try:
        imported = _import(target)
    except Exception as error:
        raise ZooError(f"{name}._target_={target} cannot be imported: {error}.") from error
    if not (isinstance(imported, type) and issubclass(imported, base)):
        raise ZooError(
            f"{name}._target_={target} is not a Lightning {base.__name__}: it must be a subclass "
            "of that."
        )
    return imported


def _make_all(section: str, node: dict[str, Any] | None, base: type, **filled: Any) -> list[Any]:
    """Create the objects of a section, after checking all of their classes.

    `filled` are default options for the classes that take them.
    """
    import inspect

    chosen = {f"{section}.{k}": v for k, v in (node or {}).items() if v is not None}
    classes = {name: _class_of(name, value, base) for name, value in chosen.items()}
    objects = []
    for name, cls in classes.items():
        parameters = inspect.signature(cls).parameters
        options = {k: v for k, v in filled.items() if k in parameters}
        own = {k: v for k, v in chosen[name].items() if k != "_target_"}
        options |= {k: v for k, v in own.items() if v is not None or k not in options}
        try:
            objects.append(cls(**options))
        except ZooError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ZooError(f"{name}: {reason}") from error
    return objects


def _import(target: str) -> Any:
    """Import the class of a dotted name, which may be in a plugin's file."""
    import importlib

    from zoo.registry.importing import import_plugin
    from zoo.registry.places import PLUGIN_PACKAGE

    module, _, name = target.rpartition(".")
    find = import_plugin if module.startswith(f"{PLUGIN_PACKAGE}.") else importlib.import_module
    return getattr(find(module), name)


def make_callbacks(node: dict[str, Any] | None, out: Path) -> list[pl.Callback]:
    """Create the callbacks; one that is null is left out (`callbacks.samples=null`)."""
    from pytorch_lightning.callbacks import Callback, ProgressBar

    parts = {p.target: p for p in REGISTRY.parts("callback")}
    callbacks: list[pl.Callback] = []
    for name, options in (node or {}).items():
        part = parts.get(str(options.get("_target_"))) if isinstance(options, dict) else None
        if part is None:  # one of Lightning's, or null
            callbacks += _make_all("callbacks", {name: options}, Callback, folder=str(out))
            continue
        filled = {"folder": str(out)} if any(p.name == "folder" for p in part.parameters) else {}
        own = {k: v for k, v in options.items() if k != "_target_"}
        callbacks.append(create("callback", part.name, **{**filled, **own}))
    bars = [c for c in callbacks if isinstance(c, ProgressBar)]
    # Lightning accepts a single progress bar: the last one chosen.
    return [c for c in callbacks if c not in bars[:-1]]


def make_loggers(
    node: dict[str, Any] | None,
    out: Path,
    config: dict[str, Any],
    resumed: tuple[int, int] | None = None,
) -> list[Any]:
    """Create the loggers, and log the whole configuration to them.

    Args:
        node: The section `logger` of the configuration.
        out: The run's folder, to which the loggers write.
        config: The whole configuration.
        resumed: For a run that resumes in its own folder, the step of its checkpoint and the last
            step at which means over a whole window were logged.
    """
    from pytorch_lightning.loggers import Logger

    tags = [str(tag) for tag in config.get("tags") or []]
    if config.get("debug"):
        _check_stays_here(node, str(config["debug"]))
    loggers = _make_all("logger", node, Logger, save_dir=str(out), tags=tags)
    for logger in loggers:
        if resumed is not None and hasattr(logger, "go_on"):
            logger.go_on(*resumed)
        try:
            logger.log_hyperparams(
                {k: v for k, v in config.items() if k not in ("callbacks", "logger")}
            )
        except Exception as error:  # W&B has errors of its own for servers and settings
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ZooError(f"logger: {type(logger).__name__} cannot start: {reason}") from error
    return loggers


def _check_stays_here(node: dict[str, Any] | None, preset: str) -> None:
    """Reject loggers that would send their log to a server, before any logger is created."""
    from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

    for name, settings in (node or {}).items():
        if settings is None:
            continue
        cls = _class_of(f"logger.{name}", settings, Logger)
        if hasattr(cls, "uploads"):
            sends = cls.uploads(settings)
        else:  # all but two of Lightning's loggers are for servers
            local = issubclass(cls, CSVLogger | TensorBoardLogger)
            sends = cls.__module__.startswith("pytorch_lightning.") and not local
        if sends:
            raise ZooError(
                f"logger.{name}: a debugging run (debug={preset}) does not send its log to a "
                f"server: leave the {cls.__name__} out (logger=csv, tensorboard)."
            )


def make_trainer(
    settings: dict[str, Any],
    callbacks: list[Any],
    out: Path,
    data: DataModule,
) -> pl.Trainer:
    """Create a `pl.Trainer` without loggers, which `add_loggers` gives it.

    Args:
        settings: The section `trainer` of the configuration. The zoo's own options are applied
            here; all others are passed on to `pl.Trainer`.
        callbacks: The callbacks.
        out: The run's folder.
        data: The data module.

    Raises:
        ZooError: The trainer has no such option, or the machine has no such device.
    """
    import inspect

    import pytorch_lightning as pl

    from zoo.training.lightning import CheckpointFile, NoProfiler
    from zoo.training.profile import make_profiler

    gpus = settings.pop("gpus", None)
    settings.pop("keep_memory", None)  # applied before torch was imported
    settings.pop("ends_from_here", None)  # applied when the checkpoint was opened
    data.repeated = settings.pop("overfit_batches", 0) or None  # only these batches are used
    _set_matmul_precision(settings.pop("matmul_precision", None))
    if gpus is not None:
        settings.update(_devices(gpus))
    parameters = inspect.signature(pl.Trainer.__init__).parameters
    for name in settings:
        if name not in (*parameters, "max_images"):
            choices = [p.name for p in TRAINER_PARAMETERS]
            raise ZooError(f"trainer has no option {name!r}.{suggest(name, choices)}")
    _check_settings(settings)
    set_ends(settings, data.images_per_step)
    _check_accelerator(settings)
    _check_processes(settings)
    _check_switches(settings, callbacks)
    bars = any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks)
    settings.setdefault("enable_progress_bar", bars)  # False prevents Lightning's default bar
    if isinstance(settings.get("profiler"), str):
        settings["profiler"] = make_profiler(settings["profiler"], out)
    settings.setdefault("profiler", NoProfiler())
    checkpoints = any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks)
    settings.setdefault("enable_checkpointing", checkpoints)  # False prevents its default ones
    plugins: list[Any] = [CheckpointFile(), *cluster_environment(settings)]
    try:
        return pl.Trainer(
            **settings,
            callbacks=callbacks,
            logger=False,
            plugins=plugins,
            default_root_dir=str(out),
        )
    except Exception as error:
        raise ZooError(f"trainer: {' '.join(str(error).split())}") from error


def add_loggers(trainer: pl.Trainer, loggers: list[Any]) -> None:
    """Let a trainer log to `loggers`, except for one with `fast_dev_run`, which does not log."""
    if not trainer.fast_dev_run:  # type: ignore[attr-defined]
        trainer.loggers = loggers


def _set_matmul_precision(precision: str | None) -> None:
    import torch

    if precision is not None and precision not in MATMUL_PRECISIONS:
        raise ZooError(
            f"trainer.matmul_precision={precision} is not one of {listing(MATMUL_PRECISIONS)}, or "
            "null for torch's default."
        )
    # torch has two switches for TF32: by default it is on in convolutions and off in products.
    torch.set_float32_matmul_precision(precision or "highest")
    torch.backends.cudnn.allow_tf32 = precision != "highest"


def _check_settings(settings: dict[str, Any]) -> None:
    """Reject settings for which Lightning has no clear error message, or none at all."""
    from zoo.training.lightning import PRECISIONS, check_precision

    check_ends(settings)
    check_precision(str(settings.get("precision", PRECISIONS[0])))
    if settings.get("gradient_clip_val"):
        raise ZooError("trainer.gradient_clip_val does not clip a GAN: use model.clip_grad_norm.")
    if settings.get("accumulate_grad_batches", 1) != 1:
        raise ZooError(
            "trainer.accumulate_grad_batches cannot be used, since a step of a GAN has several "
            "updates: set a larger datamodule.batch_size instead, split by model.accumulate."
        )


def _check_switches(settings: dict[str, Any], callbacks: list[Any]) -> None:
    """Reject a switch of Lightning's that contradicts a callback with the same purpose."""
    import pytorch_lightning as pl

    for switch, base, example in (
        ("enable_progress_bar", pl.callbacks.ProgressBar, "progress"),
        ("enable_checkpointing", pl.callbacks.Checkpoint, "checkpoints"),
    ):
        if settings.get(switch) is False and any(isinstance(c, base) for c in callbacks):
            raise ZooError(
                f"trainer.{switch}=false contradicts a callback: set callbacks.{example}=null "
                "instead."
            )


def _devices(gpus: int) -> dict[str, Any]:
    import torch

    if gpus == 0:
        return {"accelerator": "cpu"}  # with as many processes as the preset sets
    available = torch.cuda.device_count()
    if available < gpus:
        raise ZooError(
            f"trainer.gpus={gpus} asks for {gpus} GPU{'s' * (gpus > 1)}, but this machine has "
            f"{available}: use trainer.gpus={available}"
            + (" (the CPU)." if available == 0 else ".")
        )
    strategy = {"strategy": "ddp"} if gpus > 1 else {}
    return {"accelerator": "gpu", "devices": gpus, **strategy}


def _check_processes(settings: dict[str, Any]) -> None:
    """Reject no processes at all, and far more processes on the CPU than it has cores."""
    import torch

    accelerator, devices = settings.get("accelerator", "auto"), settings.get("devices", 1)
    gpus = torch.cuda.is_available() or torch.backends.mps.is_available()
    count = int(devices) if str(devices).isdecimal() else 1
    cores = os.cpu_count() or 1
    if isinstance(devices, int) and devices < 1 and not (gpus and devices == -1):
        raise ZooError(f"trainer.devices={devices} must be 1 or more, or -1 for all GPUs.")
    if (accelerator == "cpu" or (accelerator == "auto" and not gpus)) and count > 2 * cores:
        raise ZooError(
            f"trainer.devices={devices} asks for {count} processes, but this machine has {cores} "
            f"core{'s' * (cores > 1)}: use at most {2 * cores}; more than {cores} are not faster."
        )


def _check_accelerator(settings: dict[str, Any]) -> None:
    import torch

    wanted = settings.get("accelerator", "auto")
    if wanted in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ZooError(
            f"trainer.accelerator={wanted} needs a CUDA GPU, but this machine has none: use "
            "trainer=cpu or trainer.gpus=0"
        )
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise ZooError("trainer=mps needs an Apple GPU, but this machine has none: use trainer=cpu")
