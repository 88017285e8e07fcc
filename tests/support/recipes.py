"""Run every recipe with tiny networks (their `tiny` options), on random images, in float64.

`python tests/support/recipes.py` writes tests/training/recipes.json, the losses that
tests/training/test_recipes.py expects. Run it when a recipe or a formula changes on purpose, and
say so in the commit.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from zoo.cli.store import experiments, store_parts
from zoo.data.base import DataModule
from zoo.registry import REGISTRY
from zoo.training.build import build_gan
from zoo.training.callbacks.diagnostics import Diagnose
from zoo.training.gan import GAN

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
STORED = ROOT / "tests" / "training" / "recipes.json"
STEPS, BATCH = 3, 4


class Pictures(DataModule):
    """Random images of ten classes, in the shape of a recipe's data set."""

    def __init__(self, image_size: int, channels: int, batch_size: int = BATCH) -> None:
        super().__init__("pictures", image_size, channels, [str(i) for i in range(10)], batch_size)

    def load(self, split):
        random = torch.Generator().manual_seed(0)
        shape = (20 * self.batch_size, self.channels, self.height, self.width)
        images = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
        return images, torch.arange(len(images)) % 10


class Watch(pl.Callback):
    """A callback that records the losses of each step."""

    def __init__(self) -> None:
        self.rows: list[list[float]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.rows.append([module.shown["loss_d"], module.shown["loss_g"]])


def names() -> list[str]:
    return ["default", *experiments(CONFIGS)]


def composed(name: str, *overrides: str) -> dict[str, Any]:
    """Compose the configuration of a recipe, as plain values."""
    store_parts()
    recipe = [] if name == "default" else [f"experiment={name}"]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("config", [*recipe, *overrides])
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return plain


def small(kind: str, node: dict[str, Any]) -> dict[str, Any]:
    return node | getattr(REGISTRY.get(kind, node["_target_"]).load(), "tiny", {})


def run(name: str, *overrides: str) -> list[list[float]]:
    """Train a few steps, with diagnostics after each, and return the losses of D and G."""
    config = composed(name, *overrides)
    model, data = config["model"], config["datamodule"]
    part = REGISTRY.get("datamodule", data["_target_"])
    made = part.load()
    size = data.get("image_size", 1)
    channels = data.get("channels") or getattr(made, "recipe_channels", 3)
    model = model | {kind: small(kind, model[kind]) for kind in ("generator", "discriminator")}
    torch.manual_seed(0)
    pl.seed_everything(0, verbose=False)
    previous = torch.get_default_dtype()
    try:
        # Before the networks are made: weights drawn in float32 differ between processors by a
        # rounding that three steps of some recipes amplify a thousandfold.
        torch.set_default_dtype(torch.float64)
        gan: GAN = build_gan(model, Pictures(size, channels)).double()
        watch = Watch()
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                accelerator="cpu",
                precision="64-true",
                max_steps=STEPS,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                log_every_n_steps=1,
                callbacks=[watch, Diagnose(folder, every_n_steps=1, after_images=0)],
            )
            trainer.fit(gan, datamodule=Pictures(size, channels))
    finally:
        torch.set_default_dtype(previous)
    return watch.rows


if __name__ == "__main__":
    chosen = sys.argv[1:] or names()
    stored = json.loads(STORED.read_text()) if STORED.exists() and sys.argv[1:] else {}
    for recipe in chosen:
        stored[recipe] = run(recipe)
        print(recipe, stored[recipe][-1], flush=True)
    STORED.write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")
