"""`task=train`: from a configuration to a trained GAN in the run's folder."""

from __future__ import annotations

import logging
import time
import warnings
from pathlib import Path
from typing import Any

from zoo.errors import ZooError, listing
from zoo.registry import task


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

    def __init__(self, resume: str | None = None, ckpt: str | None = None, seed: int = 0) -> None:
        self.resume = resume or ckpt
        self.seed = seed

    def __call__(self, out: Path) -> dict[str, Any]:
        _quiet()
        import pytorch_lightning as pl

        from zoo.build import build_data, build_gan, describe_data
        from zoo.trainer import make_callbacks, make_loggers, make_trainer

        config = self.config
        settings = dict(config["trainer"])
        pl.seed_everything(self.seed, verbose=False)
        data = build_data(config["datamodule"], config["data_dir"], self.seed)
        gan = build_gan(config["model"], data)
        options = {k: v for k, v in config["datamodule"].items() if k != "_target_"}
        gan.data = describe_data(data, options)
        gan.run_description = {
            "overrides": [o for o in self.overrides if not o.startswith(("resume=", "ckpt="))]
        }
        data.images_per_step = gan.d_steps * data.batch_size
        for note in gan.notes:
            print(f"note: {note}")
        checkpoint = self._checkpoint(gan)
        callbacks = make_callbacks(config["callbacks"], out)
        loggers = make_loggers(config["logger"], out, config)
        trainer = make_trainer(settings, callbacks, loggers, out, data)
        if trainer.is_global_zero:
            print(_headline(gan, data, trainer, out))
        start = time.perf_counter()
        _fit(trainer, gan, data, checkpoint)
        return self._summary(trainer, gan, out, time.perf_counter() - start)

    def _checkpoint(self, gan: Any) -> Path | None:
        if self.resume is None:
            return None
        from zoo.checkpoint import locate, read

        file = locate(self.resume)
        info, _ = read(file)
        mine = gan.describe()
        for kind in ("generator", "discriminator", "loss", "regularizers", "augmentations"):
            if kind in info and info[kind] != mine[kind]:
                raise ZooError(
                    f"{file} was trained with another {kind} ({_short(info[kind])}) than the one "
                    f"asked for ({_short(mine[kind])}): leave model settings out to continue it."
                )
        return file

    def _summary(self, trainer: Any, gan: Any, out: Path, seconds: float) -> dict[str, Any]:
        from zoo.callbacks.checkpoints import Checkpoints
        from zoo.callbacks.samples import SampleGrid

        lines: dict[str, Any] = {"trained": f"{gan.images_seen:,} images in {seconds:.0f} s"}
        for callback in trainer.callbacks:
            if isinstance(callback, SampleGrid) and callback.last is not None:
                lines["pictures"] = callback.last
            if isinstance(callback, Checkpoints):
                lines["checkpoint"] = callback.last
        lines["log"] = listing(
            logger.log_dir for logger in trainer.loggers if getattr(logger, "log_dir", None)
        )
        for logger in trainer.loggers:
            if hasattr(logger, "sync_hint"):
                lines["W&B"] = logger.sync_hint()
        lines["sample"] = f"python run.py task=sample ckpt={out} n=64"
        if gan.generator.num_classes:
            lines["sample"] += " label=5"
        lines["continue"] = f"python run.py resume={out} trainer.max_epochs={_more(trainer)}"
        for name in ("loss_d", "loss_g", "images_per_second"):
            if name in trainer.callback_metrics:
                lines[name] = round(float(trainer.callback_metrics[name]), 4)
        return lines


def _more(trainer: Any) -> int:
    return 2 * max(1, trainer.current_epoch)


def _short(spec: Any) -> str:
    if isinstance(spec, list):
        return listing(_short(s) for s in spec)
    return f"{spec['name']} {spec['options']}"


def _headline(gan: Any, data: Any, trainer: Any, out: Path) -> str:
    def count(network: Any) -> str:
        return f"{sum(p.numel() for p in network.parameters()):,}"

    spec = gan.describe()
    return (
        f"{spec['generator']['name']} ({count(gan.generator)} parameters) against "
        f"{spec['discriminator']['name']} ({count(gan.discriminator)}) under "
        f"{spec['loss']['name']}, {'conditional' if gan.generator.num_classes else 'unconditional'}"
        f", on {len(data.split('train')[0]):,} images of {data.name} at {data.channels}×"
        f"{data.image_size}×{data.image_size}; {trainer.strategy.root_device.type}, "
        f"{trainer.precision}; everything goes to {out}"
    )


def _fit(trainer: Any, gan: Any, data: Any, checkpoint: Path | None) -> None:
    """`trainer.fit`, with Ctrl-C as KeyboardInterrupt rather than Lightning's exit."""
    from zoo.callbacks.checkpoints import Checkpoints

    try:
        trainer.fit(gan, datamodule=data, ckpt_path=checkpoint)
    except SystemExit:
        if any(isinstance(c, Checkpoints) and c.interrupted for c in trainer.callbacks):
            raise KeyboardInterrupt from None
        raise
    if checkpoint is not None and gan.images_seen == 0:
        raise ZooError(f"{checkpoint} could not be continued.")


def _quiet() -> None:
    """Silence hints of Lightning's that do not hold for this program."""
    for name in ("pytorch_lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*resuming from a checkpoint that ended before.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message=".*tensorboardX.*")
    warnings.filterwarnings("ignore", category=FutureWarning, module="pytorch_lightning.*")
