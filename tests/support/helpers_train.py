"""Tiny trainings for tests, in this process from a configuration, or as a real `run.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from zoo.cli.jobs import run_task
from zoo.cli.resume import continue_run
from zoo.cli.store import CONFIGS, store_parts
from zoo.registry.places import ROOT

TINY = [
    "datamodule.image_size=8",
    "datamodule.batch_size=16",
    "datamodule.train_val_test_split=[160,20,20]",
    "model/generator=mlp",
    "model/discriminator=mlp",
    "model.generator.width=8",
    "model.discriminator.width=16",
    "model.latent_dim=8",
    "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=4",
    "callbacks.samples.rows=2",
    "callbacks.progress=null",
]
"""Overrides for a run with 10 steps per epoch that takes a fraction of a second."""


def configure(*overrides: str) -> tuple[Any, list[str]]:
    """Return the configuration that `run.py` would compose and the overrides it would record."""
    store_parts()
    arguments = continue_run(list(overrides))
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", overrides=arguments)
    return config, [a for a in arguments if not a.startswith("hydra.")]


def train(out: Path, *overrides: str, tiny: bool = True) -> dict[str, Any]:
    """Train in this process in the folder `out`, as `run.py` does, and return its summary."""
    resumed = any(o.startswith(("resume=", "ckpt=")) for o in overrides)
    config, given = configure(*(TINY if tiny and not resumed else []), *overrides)
    return run_task(config, out, given)


def start(
    out: Path, *overrides: str, tiny: bool = True, by: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Start a real `python run.py` in the folder `out`; its output is text in a pipe.

    Args:
        out: the folder of the run.
        overrides: the overrides.
        tiny: whether to add the overrides of `TINY`.
        by: arguments of Python that start `run.py`, for instance `-m torch.distributed.run`.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    given = [*(TINY if tiny else []), *overrides, f"hydra.run.dir={out}"]
    return subprocess.Popen(
        [sys.executable, *by, str(ROOT / "run.py"), *given],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=out.parent,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 180):
    """Wait until `condition` holds while `process` runs."""
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def read(file: Path) -> dict[str, Any]:
    """Load a checkpoint file, or the last checkpoint in a run's folder."""
    if file.is_dir():
        file = file / "checkpoints" / "last.ckpt"
    return torch.load(file, weights_only=True)


def assert_same_training(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Assert that everything training depends on is bit-identical in two checkpoints."""
    assert one["zoo"]["step"] == other["zoo"]["step"]
    assert one["zoo"]["images_seen"] == other["zoo"]["images_seen"]
    assert one["global_step"] == other["global_step"]
    for part in ("state_dict", "optimizer_states", "rng"):
        _assert_equal(one[part], other[part], part)


def _assert_equal(one: Any, other: Any, place: str) -> None:
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            _assert_equal(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            _assert_equal(a, b, f"{place}.{i}")
    else:
        assert one == other, place
