"""`task=train`: train a GAN as its configuration says, and write it into the run's folder."""

from __future__ import annotations

import copy
import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from zoo.cli.ended import failures_explained
from zoo.cli.grammar import argument
from zoo.cli.jobs import emptied_unless
from zoo.cli.lock import locked
from zoo.cli.program import program
from zoo.cli.settings import settings_of
from zoo.contracts.task import Run, Task
from zoo.core.atomic import remove_partials, write_text
from zoo.core.errors import ZooError, at_least, between, listing, shown
from zoo.core.launch import is_first
from zoo.registry import idle_when, task
from zoo.tasks.announce import announce
from zoo.tasks.fit import fit, keeper_of, quiet
from zoo.training.allocator import keep_memory
from zoo.training.ends import (
    EPOCHS,
    count_from_here,
    given_ends,
    longer,
    reach_back,
    reached,
    set_ends,
)
from zoo.training.processes import Watch

_KEPT = (
    "generator", "discriminator", "latent", "loss", "regularizers", "augmentations", "optimizer",
)  # fmt: skip
"""The parts that must be the same as before when a training is resumed."""
PROFILE = "profile.txt"
"""The file in the run's folder for the profiler's table."""


@task("train")
class Train(Task):
    """Train a GAN and write samples, metrics and checkpoints into the run's folder.

    Args:
        resume: a checkpoint or a run's folder to resume, with the run's own settings except those
            that are given anew.
        ckpt: the same as `resume`.
        seed: the seed of the weights, the latents and the order of the images.
        on_nan: what to do when a loss or a weight becomes NaN or infinite: `stop`, or `rollback` to
            the last good checkpoint with halved learning rates (`model.lr_factor`).
        max_rollbacks: the largest number of rollbacks.
    """

    uses = (
        "datamodule", "model", "trainer", "logger", "callbacks", "experiment", "data_dir", "tags",
        "hparams_search",  # what it sets beside the search applies to the command of the best run
    )  # fmt: skip

    def __init__(
        self,
        resume: str | None = None,
        ckpt: str | None = None,
        seed: Annotated[int, between(0, 4294967295)] = 0,
        on_nan: Literal["stop", "rollback"] = "stop",
        max_rollbacks: Annotated[int, at_least(1), idle_when(on_nan="stop")] = 3,
    ) -> None:
        if resume and ckpt and resume != ckpt:
            raise ZooError(
                f"resume={resume} and ckpt={ckpt} name two trainings to resume: give one of them."
            )
        self.resume = resume or ckpt
        self.seed = seed
        self.on_nan = on_nan
        self.max_rollbacks = max_rollbacks
        self._rollbacks = 0
        self._last: Path | None = None  # the path of the newest checkpoint, which may not exist yet
        self._begun = False  # whether a step has been trained

    def run(self, run: Run) -> dict[str, Any]:
        """Train to the end, with rollbacks if necessary, and return the summary."""
        start = run.config["model"].get("start")
        if self.resume is not None and start is not None:
            raise ZooError(
                f"resume={shown(self.resume)} resumes a training, but model.start={start} starts "
                "a new one from other weights: give one of them."
            )
        if run.config["trainer"].get("keep_memory"):
            keep_memory()  # has an effect only before torch is imported
        run = replace(run, config=copy.deepcopy(run.config))  # because a rollback changes it
        self._count_ends(run.config["trainer"])
        with (
            emptied_unless(lambda: self._begun, run.folder),
            locked(run.folder),
            Watch(self._how_to_resume) as watch,
        ):
            if is_first():
                remove_partials(run.folder)
            while True:
                summary = self._train(run, watch)
                if summary is not None:
                    return summary
                gc.collect()  # free the networks and the data of the failed training

    def _train(self, run: Run, watch: Watch) -> dict[str, Any] | None:
        """Train once and return the summary, or None if a rollback is to be tried."""
        import pytorch_lightning as pl

        from zoo.training.profile import take_profile
        from zoo.training.resuming import epochs_of
        from zoo.training.trainer import add_loggers, make_loggers, make_trainer
        from zoo.training.window import NonFiniteError

        config, out = run.config, run.folder
        settings = dict(config["trainer"])
        quiet()
        pl.seed_everything(self.seed, verbose=False)
        data, gan = self._data_and_gan(run)
        checkpoint, resumed = self._checkpoint(gan, out)
        callbacks = self._callbacks(gan, config, out)
        if resumed and self._is_over(settings, data, resumed[0]):
            resumed = (resumed[0], resumed[0])  # keep the log's last row: no training replaces it
        if checkpoint is not None:
            reach_back(settings, epochs_of(checkpoint))
        trainer = make_trainer(settings, callbacks, out, data)
        # After the trainer, so that one which is refused changes no log, nor one on a server.
        loggers = make_loggers(config.get("logger"), out, config, resumed)
        add_loggers(trainer, loggers)
        watch.add(trainer)
        if self._rollbacks:
            self._log_rollback(loggers, resumed, config)
        elif trainer.is_global_zero:
            announce(gan, data, trainer, config, checkpoint, out)
        try:
            with failures_explained(trainer, gan, data, watch, self._how_to_resume):
                fit(trainer, gan, data, checkpoint)
        except NonFiniteError as error:
            if self.on_nan == "rollback" and self._rollbacks < self.max_rollbacks:
                self._roll_back(str(error), config, trainer)
                return None
            if not trainer.is_global_zero:  # all processes stop, and the first one prints the error
                sys.exit(0)
            raise self._diverged(error) from error
        finally:
            self._begun |= gan.trained_steps > 0
        if not trainer.is_global_zero:
            return {}
        if table := take_profile(out):
            print(table)
            write_text(out / PROFILE, table)
        if checkpoint is not None and not gan.trained_steps:
            _print_nothing_left(checkpoint, gan, trainer, config)
            return {}
        return self._summary(trainer, gan, run, time.perf_counter() - gan.started)

    def _data_and_gan(self, run: Run) -> tuple[Any, Any]:
        """Create the data and the GAN, with the description of the run for its checkpoints."""
        from zoo.training.build import build_data, build_gan, describe_data

        config = run.config
        data = build_data(config["datamodule"], str(config["data_dir"]), self.seed)
        if self.resume is not None:
            self._check_extent(lambda: build_gan(config["model"], data))
        gan = build_gan(config["model"], data)
        options = {k: v for k, v in config["datamodule"].items() if k != "_target_"}
        gan.data = describe_data(data, options)
        gan.run_description = {
            "overrides": [o for o in run.overrides if not o.startswith(("resume=", "ckpt="))],
            "tags": [str(tag) for tag in config.get("tags") or []],
        }
        gan.run_settings = settings_of(config)
        data.images_per_step = gan.d_steps * data.batch_size
        return data, gan

    def _callbacks(self, gan: Any, config: dict[str, Any], out: Path) -> list[Any]:
        """Create and check the callbacks, and find out where they write the newest checkpoint."""
        from zoo.training.callbacks.base import check_directions, check_watched
        from zoo.training.trainer import make_callbacks

        callbacks = make_callbacks(config.get("callbacks"), out)
        check_watched(callbacks, gan.figures())
        check_directions(callbacks)
        keeper = keeper_of(callbacks)
        self._last = None if keeper is None else keeper.last
        if keeper is None and self.on_nan == "rollback":
            raise ZooError("on_nan=rollback needs checkpoints: keep callbacks.checkpoints.")
        return callbacks

    def _check_extent(self, make: Callable[[], Any]) -> None:
        """Refuse a checkpoint whose settings ask for networks larger than its tensors.

        The checkpoint may come from somebody else, and the networks could fill the memory.
        """
        from zoo.cli.resume import open_training
        from zoo.inference.files import read
        from zoo.inference.rebuild import check_extent

        file, _ = open_training(str(self.resume))
        check_extent(make, read(file)[1], file)

    def _checkpoint(self, gan: Any, out: Path) -> tuple[Path | None, tuple[int, int] | None]:
        """Return the checkpoint to resume, and the position in the log of the same folder.

        Raises:
            ZooError: the checkpoint was trained on other data or with other parts.
        """
        if self.resume is None:
            return None, (0, 0) if self._rollbacks else None
        from zoo.cli.resume import open_training

        file, info = open_training(self.resume)
        current = gan.describe()
        old_data, new_data = info.get("data", current["data"]), current["data"]
        if any(old_data.get(k) != new_data[k] for k in ("name", "class_names")):
            raise ZooError(
                f"{file} was trained on {_classes_of(old_data)}, not on {_classes_of(new_data)}: "
                "leave datamodule settings out to resume it, or restore the data."
            )
        for kind in _KEPT:
            if kind in info and info[kind] != _comparable(current[kind], info[kind]):
                several = isinstance(info[kind], list)
                raise ZooError(
                    f"{file} was trained with {'other' if several else 'another'} {kind}, "
                    f"{_short(info[kind])}, than the one{'s' * several} requested, "
                    f"{_short(current[kind])}: leave model settings out to resume it."
                )
        if file.parent.parent.resolve() != out.resolve():
            return file, None
        return file, (info["step"], info.get("logged_step", info["step"]))

    def _count_ends(self, settings: dict[str, Any]) -> None:
        """Convert ends that count from the resumed checkpoint to ends of the whole training."""
        if settings.pop("ends_from_here", False) and self.resume is not None:
            from zoo.cli.resume import open_training
            from zoo.training.resuming import epochs_of

            file, info = open_training(self.resume)
            count_from_here(settings, epochs_of(file), info["step"], info["images_seen"])

    def _is_over(self, settings: dict[str, Any], data: Any, step: int) -> bool:
        """Whether a training that is resumed at `step` has already reached its end."""
        planned = dict(settings)
        set_ends(planned, data.images_per_step)
        return 0 <= planned["max_steps"] <= step

    def _how_to_resume(self) -> str:
        """Return a clause that says how to resume the training after an error."""
        if self._last is None or not self._last.is_file():
            return "the training has no checkpoint yet, so start it again."
        return f"resume with {program()} {argument('resume', shown(self._last.parent.parent))}"

    def _diverged(self, error: Exception) -> Exception:
        """Add the number of rollbacks and the last good checkpoint to an error."""
        sentence = str(error)
        if self._rollbacks:
            sentence += f" It was rolled back {self._rollbacks} times before."
        if self._last is not None and self._last.is_file():
            sentence += f" The last good weights are in {shown(self._last)}."
        return type(error)(sentence)

    def _roll_back(self, reason: str, config: dict[str, Any], trainer: Any) -> None:
        """Go back to the last good checkpoint, for a training with half the learning rates."""
        assert self._last is not None
        # Only the first process knows the folder: its name contains the time of its start.
        last = trainer.strategy.broadcast(str(self._last) if self._last.is_file() else None)
        self.resume = last or self.resume
        self._rollbacks += 1
        model = config["model"]
        model["lr_factor"] = model.get("lr_factor", 1.0) / 2
        if trainer.is_global_zero:
            where = "the start" if self.resume is None else shown(self.resume)
            print(
                f"note: {reason} Going back to {where} with half the learning rates, "
                f"model.lr_factor={model['lr_factor']:g} (rollback {self._rollbacks} of at most "
                f"{self.max_rollbacks}).",
                flush=True,
            )

    def _log_rollback(
        self, loggers: list[Any], resumed: tuple[int, int] | None, config: dict[str, Any]
    ) -> None:
        """Log the number of rollbacks and the new factor of the learning rates."""
        metrics = {"rollbacks": self._rollbacks, "lr_factor": config["model"]["lr_factor"]}
        for logger in loggers:
            logger.log_metrics(metrics, step=resumed[0] if resumed else 0)
            logger.save()

    def _summary(self, trainer: Any, gan: Any, run: Run, seconds: float) -> dict[str, Any]:
        """Return what the command prints at its end."""
        from zoo.training.callbacks.base import Callback

        trained = gan.images_seen - gan.images_before
        total = f", {gan.images_seen:,} in total" if gan.images_before else ""
        lines: dict[str, Any] = {"trained": f"{trained:,} images in {seconds:.0f} s{total}"}
        for callback in trainer.callbacks:
            entries = callback.summary() if isinstance(callback, Callback) else {}
            lines |= {k: shown(v) if isinstance(v, Path) else v for k, v in entries.items()}
        logs = [logger.log_dir for logger in trainer.loggers if getattr(logger, "log_dir", None)]
        if logs:
            lines["log"] = listing(shown(folder) for folder in logs)
        for logger in trainer.loggers:
            if hasattr(logger, "summary"):
                lines |= logger.summary()
        if (run.folder / PROFILE).is_file():
            lines["profile"] = shown(run.folder / PROFILE)
        if "checkpoint" in lines:
            lines |= _commands(gan, shown(run.folder), _longer(trainer, gan, run.config))
        for name in ("loss_d", "loss_g"):
            if name in gan.shown:
                lines[name] = round(gan.shown[name], 4)
        # This includes the time for sample images and checkpoints.
        lines["images_per_second"] = float(f"{trained / seconds:.3g}")
        return lines


def _commands(gan: Any, folder: str, longer: str) -> dict[str, str]:
    """Return the commands that sample from a run's checkpoint, and that resume the training."""
    sample = f"{program()} task=sample {argument('ckpt', folder)} n=64"
    if gan.generator.num_classes:
        names = gan.data.get("class_names") or range(gan.generator.num_classes)
        name = str(list(names)[:6][-1])
        sample += f" label={name}" if name.isdecimal() else f" {argument('label', name)}"
    return {"sample": sample, "resume": f"{program()} {argument('resume', folder)} {longer}"}


def _print_nothing_left(checkpoint: Path, gan: Any, trainer: Any, config: dict[str, Any]) -> None:
    """Say that the checkpoint has reached the end of its training, and how to train longer."""
    settings = config["trainer"]
    limits = reached(settings, *_trained(trainer, gan)) or given_ends(settings)
    limits = limits or {"max_epochs": EPOCHS}
    ends = listing(f"trainer.{k}={v}" for k, v in limits.items())
    print(
        f"{shown(checkpoint)} has reached its end ({ends}) after {gan.images_seen:,} images, "
        f"so there is nothing left to train: add {_longer(trainer, gan, config)} to train longer."
    )


def _longer(trainer: Any, gan: Any, config: dict[str, Any]) -> str:
    """Return overrides that extend the training beyond its end."""
    return longer(config["trainer"], *_trained(trainer, gan))


def _trained(trainer: Any, gan: Any) -> tuple[int, int, int]:
    """Return the numbers of epochs, steps and images that the model was trained for."""
    epochs = trainer.fit_loop.epoch_progress.current.processed
    return epochs, gan.describe()["step"], gan.images_seen


def _comparable(current: Any, old: Any) -> Any:
    """Remove the head from a part's description if the old one is from version 0.1.0.

    That version did not store a head that the user had not chosen.
    """
    if isinstance(current, dict) and isinstance(old, dict) and "head" not in old:
        return {k: v for k, v in current.items() if k != "head"}
    return current


def _classes_of(data: dict[str, Any]) -> str:
    """Name a data set and its classes, for an error message."""
    names = data.get("class_names") or []
    first = listing([*names[:5], *(["…"] if len(names) > 5 else [])])
    return f"{data.get('name')} ({len(names)} class{'es' * (len(names) != 1)}: {first})"


def _short(spec: Any) -> str:
    """Format the description of a part, of several parts, or of something else."""
    from zoo.registry.spec import in_words

    if isinstance(spec, str):
        return spec
    return listing(map(in_words, spec)) if isinstance(spec, list) else in_words(spec)
