"""Lightning's trainer, loggers and callbacks from their config nodes."""

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
"""Where the classes of loggers and callbacks may come from."""
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
MATMUL_PRECISIONS = ("highest", "high", "medium")


def _class_of(name: str, node: Any, base: type) -> type:
    """The class that a node names.

    Raises:
        ZooError: it may not come from there, cannot be imported, or is no `base`.
    """
    target = node.get("_target_", "") if isinstance(node, dict) else ""
    if not str(target).startswith(ALLOWED):
        raise ZooError(
            f"{name}._target_={target} is not allowed: it must start with one of "
            f"{listing(ALLOWED)}."
        )
    try:
        found = _import(target)
    except Exception as error:
        raise ZooError(f"{name}._target_={target} cannot be imported: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ZooError(
            f"{name}._target_={target} is no {base.__name__} of Lightning's, and nothing else is "
            "made here."
        )
    return found


def _make_all(section: str, node: dict[str, Any] | None, base: type, **filled: Any) -> list[Any]:
    """Make the nodes of a section; all classes are checked before the first is made."""
    import inspect

    chosen = {f"{section}.{k}": v for k, v in (node or {}).items() if v is not None}
    classes = {name: _class_of(name, value, base) for name, value in chosen.items()}
    made = []
    for name, live in classes.items():
        known = inspect.signature(live).parameters
        options = {k: v for k, v in filled.items() if k in known}
        given = {k: v for k, v in chosen[name].items() if k != "_target_"}
        options |= {k: v for k, v in given.items() if v is not None or k not in options}
        try:
            made.append(live(**options))
        except ZooError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ZooError(f"{name}: {reason}") from error
    return made


def _import(target: str) -> Any:
    """The class of a dotted name; a plugin's file is found where no package holds it."""
    import importlib

    from zoo.registry.importing import import_plugin
    from zoo.registry.places import PLUGIN_PACKAGE

    module, _, name = target.rpartition(".")
    find = import_plugin if module.startswith(f"{PLUGIN_PACKAGE}.") else importlib.import_module
    return getattr(find(module), name)


def make_callbacks(node: dict[str, Any] | None, out: Path) -> list[pl.Callback]:
    """Callbacks by name; a null one is left out (`callbacks.samples=null`)."""
    from pytorch_lightning.callbacks import Callback, ProgressBar

    parts = {p.target: p for p in REGISTRY.parts("callback")}
    made: list[pl.Callback] = []
    for name, options in (node or {}).items():
        part = parts.get(str(options.get("_target_"))) if isinstance(options, dict) else None
        if part is None:  # one of Lightning's, or null
            made += _make_all("callbacks", {name: options}, Callback, folder=str(out))
            continue
        filled = {"folder": str(out)} if any(p.name == "folder" for p in part.parameters) else {}
        given = {k: v for k, v in options.items() if k != "_target_"}
        made.append(create("callback", part.name, **{**filled, **given}))
    bars = [c for c in made if isinstance(c, ProgressBar)]
    return [c for c in made if c not in bars[:-1]]  # Lightning takes one: the last one chosen


def make_loggers(
    node: dict[str, Any] | None,
    out: Path,
    config: dict[str, Any],
    resumed: tuple[int, int] | None = None,
) -> list[Any]:
    """Loggers by name, writing below the run's folder and given the whole configuration.

    Args:
        resumed: step of the checkpoint that goes on in its own folder, and the last one of a
            regular row in its log.
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
        except Exception as error:  # W&B's own kinds, of a server's refusal or a wrong setting
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ZooError(f"logger: {type(logger).__name__} cannot start: {reason}") from error
    return loggers


def _check_stays_here(node: dict[str, Any] | None, preset: str) -> None:
    """Refuse loggers that send what they log to a server, before one is made."""
    from pytorch_lightning.loggers import CSVLogger, Logger, TensorBoardLogger

    for name, settings in (node or {}).items():
        if settings is None:
            continue
        live = _class_of(f"logger.{name}", settings, Logger)
        if hasattr(live, "uploads"):
            sends = live.uploads(settings)
        else:  # of Lightning's, all but two are for servers
            ours = issubclass(live, CSVLogger | TensorBoardLogger)
            sends = live.__module__.startswith("pytorch_lightning.") and not ours
        if sends:
            raise ZooError(
                f"logger.{name}: debug={preset} is a training for a look, of which nothing goes to "
                f"a server: leave the {live.__name__} out (logger=csv, tensorboard)."
            )


def make_trainer(
    settings: dict[str, Any],
    callbacks: list[Any],
    loggers: list[Any],
    out: Path,
    data: DataModule,
) -> pl.Trainer:
    """A `pl.Trainer`; the zoo's own options are carried out, all else goes to it as it is.

    Raises:
        ZooError: an argument that the trainer does not have, or a device that is not there.
    """
    import inspect

    import pytorch_lightning as pl

    from zoo.training.lightning import CheckpointFile, NoProfiler
    from zoo.training.profile import make_profiler

    gpus = settings.pop("gpus", None)
    settings.pop("keep_memory", None)  # carried out before torch was imported
    settings.pop("ends_from_here", None)  # carried out where the checkpoint was opened
    data.repeated = settings.pop("overfit_batches", 0) or None  # batches that come again and again
    _set_matmul_precision(settings.pop("matmul_precision", None))
    if gpus is not None:
        settings.update(_devices(gpus))
    known = inspect.signature(pl.Trainer.__init__).parameters
    for name in settings:
        if name not in (*known, "max_images"):
            choices = [p.name for p in TRAINER_PARAMETERS]
            raise ZooError(f"trainer has no option {name!r}.{suggest(name, choices)}")
    _check_settings(settings)
    set_ends(settings, data.images_per_step)
    _check_accelerator(settings)
    _check_processes(settings)
    _check_switches(settings, callbacks)
    bars = any(isinstance(c, pl.callbacks.ProgressBar) for c in callbacks)
    settings.setdefault("enable_progress_bar", bars)  # Lightning's own stays out
    if isinstance(settings.get("profiler"), str):
        settings["profiler"] = make_profiler(settings["profiler"], out)
    settings.setdefault("profiler", NoProfiler())
    kept = any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks)
    settings.setdefault("enable_checkpointing", kept)  # so do its checkpoints
    plugins: list[Any] = [CheckpointFile(), *cluster_environment(settings)]
    try:
        return pl.Trainer(
            **settings,
            callbacks=callbacks,
            logger=loggers or False,
            plugins=plugins,
            default_root_dir=str(out),
        )
    except Exception as error:
        raise ZooError(f"trainer: {' '.join(str(error).split())}") from error


def _set_matmul_precision(precision: str | None) -> None:
    import torch

    if precision is not None and precision not in MATMUL_PRECISIONS:
        raise ZooError(
            f"trainer.matmul_precision={precision} is none of {listing(MATMUL_PRECISIONS)}, nor "
            "null for what torch has by itself."
        )
    # Of torch's two switches for TF32 one is on at the start (convolutions) and one is off.
    torch.set_float32_matmul_precision(precision or "highest")
    torch.backends.cudnn.allow_tf32 = precision != "highest"


def _check_settings(settings: dict[str, Any]) -> None:
    """Refuse what Lightning would refuse in its own terms, or not at all."""
    check_ends(settings)
    precision = str(settings.get("precision", PRECISIONS[0]))
    if precision not in (*PRECISIONS, "32"):
        raise ZooError(
            f"trainer.precision={precision} is none of {listing(PRECISIONS)}, in all of which "
            "weights are kept, and penalties computed, in 32 bits."
        )
    if settings.get("gradient_clip_val"):
        raise ZooError("trainer.gradient_clip_val does not clip a GAN: use model.clip_grad_norm.")
    if settings.get("accumulate_grad_batches", 1) != 1:
        raise ZooError(
            "trainer.accumulate_grad_batches cannot be used, since a step of a GAN has several "
            "updates: give datamodule.batch_size instead."
        )


def _check_switches(settings: dict[str, Any], callbacks: list[Any]) -> None:
    """Refuse a switch of Lightning's that contradicts a callback of the same purpose."""
    import pytorch_lightning as pl

    for switch, base, example in (
        ("enable_progress_bar", pl.callbacks.ProgressBar, "progress"),
        ("enable_checkpointing", pl.callbacks.Checkpoint, "checkpoints"),
    ):
        if settings.get(switch) is False and any(isinstance(c, base) for c in callbacks):
            raise ZooError(
                f"trainer.{switch}=false contradicts a callback: give callbacks.{example}=null "
                "instead."
            )


def _devices(gpus: int) -> dict[str, Any]:
    import torch

    if gpus == 0:
        return {"accelerator": "cpu"}  # as many processes as the preset has
    found = torch.cuda.device_count()
    if found < gpus:
        raise ZooError(
            f"trainer.gpus={gpus} asks for {gpus} GPU{'s' * (gpus > 1)}, but this machine has "
            f"{found}: use trainer.gpus={found}" + (" (the processor)." if found == 0 else ".")
        )
    strategy = {"strategy": "ddp"} if gpus > 1 else {}
    return {"accelerator": "gpu", "devices": gpus, **strategy}


def _check_processes(settings: dict[str, Any]) -> None:
    """Refuse more processes than the processor can be shared into."""
    import torch

    accelerator, devices = settings.get("accelerator", "auto"), settings.get("devices", 1)
    gpus = torch.cuda.is_available() or torch.backends.mps.is_available()
    count = int(devices) if str(devices).isdecimal() else 1
    cores = os.cpu_count() or 1
    if (accelerator == "cpu" or (accelerator == "auto" and not gpus)) and count > 2 * cores:
        raise ZooError(
            f"trainer.devices={devices} asks for {count} processes, and this machine has {cores} "
            f"core{'s' * (cores > 1)}: take at most {2 * cores}, of which {cores} are useful."
        )


def _check_accelerator(settings: dict[str, Any]) -> None:
    import torch

    wanted = settings.get("accelerator", "auto")
    if wanted in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ZooError(
            f"trainer.accelerator={wanted} needs a CUDA GPU, and this machine has none: use "
            "trainer=cpu or trainer.gpus=0"
        )
    if wanted == "mps" and not torch.backends.mps.is_available():
        raise ZooError("trainer=mps needs an Apple GPU, and this machine has none: use trainer=cpu")
