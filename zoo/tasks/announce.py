"""What a training prints before its first step: notes, and a sentence that sums it up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoo.core.errors import printable, shown


def announce(
    gan: Any, data: Any, trainer: Any, config: dict[str, Any], checkpoint: Path | None, out: Path
) -> None:
    """Print the notes on a training, and its networks, loss, data and device.

    Args:
        gan: the module to train.
        data: the datamodule.
        trainer: Lightning's trainer.
        config: the run's configuration.
        checkpoint: the checkpoint to resume; None for a new training.
        out: the run's folder.
    """
    own = [*_new_folder(checkpoint, out), *_debug(config), *_slow(trainer)]
    for note in [*data.notes, *gan.notes, *own]:
        print(f"note: {printable(note)}")
    print(printable(_headline(gan, data, trainer, out)), flush=True)


def _new_folder(checkpoint: Path | None, out: Path) -> list[str]:
    """A note if a training is resumed in another folder than its own."""
    if checkpoint is None:
        return []
    run = checkpoint.parent.parent
    if run.resolve() == out.resolve() or not (run / ".hydra").is_dir():
        return []
    return [f"{shown(checkpoint)} is resumed in {shown(out)}; {shown(run)} stays unchanged."]


def _debug(config: dict[str, Any]) -> list[str]:
    """A note if a preset of `debug` writes no checkpoint."""
    if not config.get("debug") or (config.get("callbacks") or {}).get("checkpoints"):
        return []
    return [
        f"debug={config['debug']} writes no checkpoint, so you cannot resume this training or "
        "sample from it."
    ]


def _slow(trainer: Any) -> list[str]:
    """A note if the precision makes a training slower rather than faster."""
    from zoo.core.processor import emulates_bf16

    if trainer.precision != "bf16-mixed" or not emulates_bf16(trainer.strategy.root_device):
        return []
    return [
        "trainer.precision=bf16-mixed is slower than 32-true here, since this device does not "
        "compute in bf16."
    ]


def _classes(data: Any) -> str:
    """Return ` in 3 classes (cat, dog, fox)` for the headline, or nothing without classes."""
    names = data.class_names
    if not names:
        return ""
    shown = ", ".join([*names[:10], *(["…"] if len(names) > 10 else [])])
    return f" in {len(names)} class{'es' if len(names) > 1 else ''} ({shown})"


def _headline(gan: Any, data: Any, trainer: Any, out: Path) -> str:
    """Summarize networks, loss, data and device in one sentence."""

    def count(network: Any) -> str:
        return f"{sum(p.numel() for p in network.parameters()):,}"

    spec = gan.describe()
    return (
        f"{spec['generator']['name']} ({count(gan.generator)} parameters) against "
        f"{spec['discriminator']['name']} ({count(gan.discriminator)}) under "
        f"{spec['loss']['name']}, {'conditional' if gan.generator.num_classes else 'unconditional'}"
        f", on {data.size('train'):,} images of {data.name}{_classes(data)} at "
        f"{data.channels}×"
        f"{data.height}×{data.width}; {trainer.strategy.root_device.type}"
        f"{f' × {trainer.world_size}' if trainer.world_size > 1 else ''}, "
        f"{trainer.precision}; all files go to {shown(out)}"
    )
