"""`task=train`: from a configuration to a trained GAN in the run's folder."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from zoo.cli.grammar import argument
from zoo.cli.lock import locked
from zoo.cli.program import program
from zoo.cli.settings import settings_of
from zoo.cli.told import Stopped
from zoo.core.errors import ZooError, listing
from zoo.registry import task
from zoo.training.allocator import keep_memory
from zoo.training.ends import given_ends, longer

_KEPT = (
    "generator", "discriminator", "latent", "loss", "regularizers", "augmentations", "optimizer",
)  # fmt: skip
"""What has to stay as it was, for a training to continue."""


@task("train")
class Train:
    """Train a GAN and write samples, metrics and checkpoints into the run's folder.

    Args:
        resume: a checkpoint or a run's folder to continue; the run's own settings hold, with the
            given ones on top.
        ckpt: the same as `resume`.
        seed: of the weights, the latents and the order of the images.
    """

    config: dict[str, Any]
    overrides: list[str]
    sections = ("datamodule", "model", "trainer", "logger", "callbacks", "experiment", "data_dir")

    def __init__(self, resume: str | None = None, ckpt: str | None = None, seed: int = 0) -> None:
        if resume and ckpt and resume != ckpt:
            raise ZooError(
                f"resume={resume} and ckpt={ckpt} are two trainings to continue: give one."
            )
        if not 0 <= seed < 2**32:
            raise ZooError(f"seed={seed} must be between 0 and 2^32 - 1.")
        self.resume = resume or ckpt
        self.seed = seed

    def __call__(self, out: Path) -> dict[str, Any]:
        with locked(out):
            return self._train(out)

    def _train(self, out: Path) -> dict[str, Any]:
        config = self.config
        settings = dict(config["trainer"])
        if settings.get("keep_memory"):
            keep_memory()  # before torch is imported
        import pytorch_lightning as pl

        from zoo.training.build import build_data, build_gan, describe_data
        from zoo.training.trainer import make_callbacks, make_loggers, make_trainer

        _quiet()
        pl.seed_everything(self.seed, verbose=False)
        data = build_data(config["datamodule"], str(config["data_dir"]), self.seed)
        gan = build_gan(config["model"], data)
        options = {k: v for k, v in config["datamodule"].items() if k != "_target_"}
        gan.data = describe_data(data, options)
        gan.run_description = {
            "overrides": [o for o in self.overrides if not o.startswith(("resume=", "ckpt="))]
        }
        gan.run_settings = settings_of(config)
        data.images_per_step = gan.d_steps * data.batch_size
        checkpoint, resumed = self._checkpoint(gan, out)
        callbacks = make_callbacks(config.get("callbacks"), out)
        loggers = make_loggers(config.get("logger"), out, config, resumed)
        trainer = make_trainer(settings, callbacks, loggers, out, data)
        if trainer.is_global_zero:
            for note in [*data.notes, *gan.notes, *_where(checkpoint, out)]:
                print(f"note: {note}")
            print(_headline(gan, data, trainer, out), flush=True)
        _fit(trainer, gan, data, checkpoint)
        if config["trainer"].get("profiler") and trainer.is_global_zero:
            print(trainer.profiler.summary())  # type: ignore[attr-defined]  # the log is silent
        if not trainer.is_global_zero:
            return {}
        if checkpoint is not None and not gan.trained_steps:
            return self._nothing_left(checkpoint, gan, trainer)
        return self._summary(trainer, gan, out, time.perf_counter() - gan.started)

    def _checkpoint(self, gan: Any, out: Path) -> tuple[Path | None, tuple[int, int] | None]:
        """The checkpoint that is continued, and where its log goes on in the same folder."""
        if self.resume is None:
            return None, None
        from zoo.cli.resume import open_training

        file, info = open_training(self.resume)
        mine = gan.describe()
        then, now = info.get("data", mine["data"]), mine["data"]
        if any(then.get(k) != now[k] for k in ("name", "class_names")):
            raise ZooError(
                f"{file} was trained on {_words(then)}, not on {_words(now)}: leave datamodule "
                "settings out to continue it, or take the data as they were."
            )
        for kind in _KEPT:
            if kind in info and info[kind] != _as_told(mine[kind], info[kind]):
                raise ZooError(
                    f"{file} was trained with another {kind}, {_short(info[kind])}, than the one "
                    f"asked for, {_short(mine[kind])}: leave model settings out to continue it."
                )
        if file.parent.parent.resolve() != out.resolve():
            return file, None
        return file, (info["step"], info.get("logged_step", info["step"]))

    def _summary(self, trainer: Any, gan: Any, out: Path, seconds: float) -> dict[str, Any]:
        from zoo.training.callbacks.base import Callback
        from zoo.training.loggers import WandbLogger

        lines: dict[str, Any] = {"trained": f"{gan.images_seen:,} images in {seconds:.0f} s"}
        for callback in trainer.callbacks:
            told = callback.summary() if isinstance(callback, Callback) else {}
            lines |= {k: shown(v) if isinstance(v, Path) else v for k, v in told.items()}
        logs = [logger.log_dir for logger in trainer.loggers if getattr(logger, "log_dir", None)]
        if logs:
            lines["log"] = listing(shown(folder) for folder in logs)
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                lines["W&B"] = logger.sync_hint()
        if "checkpoint" in lines:
            lines |= self._commands(trainer, gan, shown(out))
        for name in ("loss_d", "loss_g"):
            if name in gan.shown:
                lines[name] = round(gan.shown[name], 4)
        trained = gan.trained_steps * gan.d_steps * trainer.datamodule.batch_size
        lines["images_per_second"] = float(
            f"{trained / seconds:.3g}"
        )  # pictures and checkpoints included
        return lines

    def _commands(self, trainer: Any, gan: Any, run: str) -> dict[str, str]:
        """How to go on from the checkpoint."""
        sample = f"{program()} task=sample {argument('ckpt', run)} n=64"
        if gan.generator.num_classes:
            names = gan.data.get("class_names") or range(gan.generator.num_classes)
            name = str(list(names)[:6][-1])
            sample += f" label={name}" if name.isdecimal() else f" {argument('label', name)}"
        go_on = f"{program()} {argument('resume', run)} {self._longer(trainer, gan)}"
        return {"sample": sample, "continue": go_on}

    def _nothing_left(self, checkpoint: Path, gan: Any, trainer: Any) -> dict[str, Any]:
        ends = listing(f"trainer.{k}={v}" for k, v in given_ends(self.config["trainer"]).items())
        print(
            f"{shown(checkpoint)} has reached its end ({ends}) after {gan.images_seen:,} images, "
            f"so there is nothing left to train: add {self._longer(trainer, gan)} to go on."
        )
        return {}

    def _longer(self, trainer: Any, gan: Any) -> str:
        settings = self.config["trainer"]
        epochs = trainer.fit_loop.epoch_progress.current.processed
        return longer(settings, epochs, gan.describe()["step"], gan.images_seen)


def _as_told(mine: Any, then: Any) -> Any:
    """A part as checkpoints of version 0.1.0 tell it, where `then` is of one: without the head that
    nobody chose."""
    if isinstance(mine, dict) and isinstance(then, dict) and "head" not in then:
        return {k: v for k, v in mine.items() if k != "head"}
    return mine


def shown(path: str | Path) -> str:
    """A path relative to the current folder where it lies inside it."""
    path = Path(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _where(checkpoint: Path | None, out: Path) -> list[str]:
    """A note where a run does not go on in its own folder."""
    if checkpoint is None:
        return []
    run = checkpoint.parent.parent
    if run.resolve() == out.resolve() or not (run / ".hydra").is_dir():
        return []
    return [f"{shown(checkpoint)} goes on in {shown(out)}; {shown(run)} stays as it is."]


def _words(data: dict[str, Any]) -> str:
    names = data.get("class_names") or []
    first = listing([*names[:5], *(["…"] if len(names) > 5 else [])])
    return f"{data.get('name')} ({len(names)} classes: {first})"


def _classes(data: Any) -> str:
    """` in 3 classes (cat, dog, fox)` of the headline; nothing without classes."""
    names = data.class_names
    if not names:
        return ""
    shown = ", ".join([*names[:10], *(["…"] if len(names) > 10 else [])])
    return f" in {len(names)} class{'es' if len(names) > 1 else ''} ({shown})"


def _short(spec: Any) -> str:
    from zoo.registry.spec import in_words

    if isinstance(spec, str):
        return spec
    return listing(map(in_words, spec)) if isinstance(spec, list) else in_words(spec)


def _headline(gan: Any, data: Any, trainer: Any, out: Path) -> str:
    def count(network: Any) -> str:
        return f"{sum(p.numel() for p in network.parameters()):,}"

    spec = gan.describe()
    return (
        f"{spec['generator']['name']} ({count(gan.generator)} parameters) against "
        f"{spec['discriminator']['name']} ({count(gan.discriminator)}) under "
        f"{spec['loss']['name']}, {'conditional' if gan.generator.num_classes else 'unconditional'}"
        f", on {data.size('train'):,} images of {data.name}{_classes(data)} at "
        f"{data.channels}×"
        f"{data.image_size}×{data.image_size}; {trainer.strategy.root_device.type}"
        f"{f' × {trainer.world_size}' if trainer.world_size > 1 else ''}, "
        f"{trainer.precision}; everything goes to {shown(out)}"
    )


def _fit(trainer: Any, gan: Any, data: Any, checkpoint: Path | None) -> None:
    """`trainer.fit`, with errors in words and signals as `Stopped`."""
    from pytorch_lightning.utilities.exceptions import MisconfigurationException

    from zoo.core.torch_internals import COMPILER
    from zoo.training.window import NonFiniteError

    keeper = next((c for c in trainer.callbacks if hasattr(c, "stopped_by")), None)
    try:
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
        run = argument("resume", shown(keeper.folder.parent)) if keeper is not None else ""
        raise Stopped(number, run and f"{program()} {run}") from None
    except NonFiniteError as error:
        if not trainer.is_global_zero:  # all processes stop together, and the first one tells
            sys.exit(0)
        if keeper is None or not keeper.last.is_file():
            raise
        raise NonFiniteError(
            f"{error} The weights from before are in {shown(keeper.last)}."
        ) from error
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
                f"torch.compile failed ({reason.strip()}): train without model.compile=true."
            ) from error
        raise


def _quiet() -> None:
    """Silence hints of Lightning's that do not hold for this program."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        "does not have many workers",  # batches come from memory
        "Checkpoint directory .* exists and is not empty",
        "tensorboardX",
        "have no `validation_step`",  # callbacks evaluate
        r"Found \d+ module\(s\) in eval mode",  # the averaged generator is meant to be
        "is smaller than the logging interval",  # the end of an epoch is logged always
    ):
        warnings.filterwarnings("ignore", message=f".*{text}.*")
    warnings.filterwarnings("ignore", category=FutureWarning, module="pytorch_lightning.*")
