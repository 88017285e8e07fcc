"""`zoo.train`: the command line's training as a Python function."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf, open_dict

from zoo.cli.grammar import quote, value_of
from zoo.cli.jobs import run_checked
from zoo.cli.newest import name_newest
from zoo.cli.overrides import OPTIONAL, check, normalise
from zoo.cli.resume import continue_run
from zoo.cli.store import store_parts
from zoo.core.errors import ZooError
from zoo.registry.calls import held_to_annotations
from zoo.registry.kinds import GROUPS
from zoo.registry.places import CONFIGS

if TYPE_CHECKING:
    from zoo.inference.load import LoadedGenerator

_CHOICES = frozenset({*OPTIONAL, *GROUPS.values(), "trainer"})
"""Groups, for which a string or a list is a choice: `model={"loss": "hinge"}`."""

_TRAINING = threading.RLock()
"""Held while a thread trains, since all threads share Hydra's state and torch's random numbers."""


@held_to_annotations("zoo.train")
def train(
    *overrides: str, out: str | os.PathLike[str] | None = None, **options: Any
) -> LoadedGenerator:
    """Train as the command line does, and load the trained model.

    Examples::

        model = zoo.train(datamodule="mnist_subset", trainer={"max_steps": 200}, seed=1)
        model = zoo.train("model/loss=hinge", "model.lr_g=1e-4", "trainer.max_epochs=2")
        model = zoo.train("experiment=train_mnist_gan", model={"loss": "hinge", "lr_g": 1e-4})
        model = zoo.train(resume="outputs/train/RUN", trainer={"max_epochs": 20})
        zoo.show(model.sample(16, label=5))

    Args:
        overrides: any overrides of the command line.
        out: the run's folder; None creates one in `outputs/train/` below the current folder.
        options: overrides as keywords, with sections as dictionaries. A string or a list given for
            a group chooses from it: `model={"generator": "dcgan", "regularizer": ["r1", "lecam"]}`.

    Returns:
        The model (`LoadedGenerator`), read from the run's last checkpoint.

    Raises:
        ZooError: the command line would print an error, or another thread is training.
    """
    if not _TRAINING.acquire(blocking=False):
        raise ZooError(
            "zoo.train: another thread of this process is training, and both would draw from the "
            "same random numbers: train one model after the other, or use separate processes."
        )
    try:
        return _train(overrides, out, options)
    finally:
        _TRAINING.release()


def _train(
    overrides: tuple[str, ...], out: str | os.PathLike[str] | None, options: dict[str, Any]
) -> LoadedGenerator:
    from zoo.inference.load import load

    arguments = normalise([*overrides, *_as_overrides(options)])
    for text in arguments:
        if text.startswith("-"):
            raise ZooError(f"zoo.train takes overrides (key=value), not flags such as {text!r}.")
    if (task := value_of(arguments, "task") or "train") != "train":
        raise ZooError(f"zoo.train runs task=train, not task={task}")
    if out is not None:
        arguments.append(f"hydra.run.dir={quote(os.fspath(out))}")
    store_parts()
    arguments = continue_run(name_newest(arguments))
    config = check(arguments, CONFIGS)
    assert config is not None  # it is None only for a sweep
    folder = Path(str(config.hydra.run.dir)).expanduser()
    with open_dict(config):
        del config["hydra"]
    if not (config.get("callbacks") or {}).get("checkpoints"):
        raise ZooError("zoo.train reads the model from its checkpoint: keep callbacks.checkpoints.")
    overrides = tuple(a for a in arguments if not a.startswith("hydra."))
    records = folder / ".hydra"  # the files that Hydra would write
    records.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, records / "config.yaml")
    OmegaConf.save(OmegaConf.create(list(overrides)), records / "overrides.yaml")
    run_checked(config, folder, list(overrides))
    return load(folder)


def _as_overrides(options: dict[str, Any], path: tuple[str, ...] = ()) -> list[str]:
    """Convert keywords, with sections as nested dictionaries, to overrides."""
    overrides: list[str] = []
    for name, value in options.items():
        place = (*path, str(name))
        group = "/".join(place)
        if group in _CHOICES and (value is None or isinstance(value, str | list | tuple)):
            choice = _listed(value) if isinstance(value, list | tuple) else value
            overrides.append(f"{group}={'null' if choice is None else choice}")
        elif isinstance(value, dict):
            overrides += _as_overrides(value, place)
        else:
            overrides.append(f"{'.'.join(place)}={_literal(value)}")
    return overrides


def _listed(names: Any) -> str:
    return f"[{','.join(map(str, names))}]"


def _literal(value: Any) -> str:
    """Write a value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{_literal(v)}" for k, v in value.items()) + "}"
    return quote(os.fspath(value) if isinstance(value, os.PathLike) else str(value))
