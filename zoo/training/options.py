"""The options of the LightningModule (`model.lr_g`) and of the trainer, without importing them."""

from __future__ import annotations

import ast
from typing import Literal

from zoo.registry.places import ZOO
from zoo.registry.signature import Parameter, from_source

TRAINER_PARAMETERS = (
    Parameter("accelerator", str),
    Parameter("accumulate_grad_batches", int),
    Parameter("barebones", bool),
    Parameter("benchmark", bool | None),
    Parameter("check_val_every_n_epoch", int | None),
    Parameter("detect_anomaly", bool),
    Parameter("deterministic", bool | Literal["warn"] | None),
    Parameter("devices", int | str | list[int]),
    Parameter("enable_autolog_hparams", bool),
    Parameter("enable_checkpointing", bool | None),
    Parameter("enable_model_summary", bool | None),
    Parameter("enable_progress_bar", bool | None),
    Parameter("ends_from_here", bool),
    Parameter("fast_dev_run", bool | int),
    Parameter("gpus", int | None),
    Parameter("gradient_clip_algorithm", str | None),
    Parameter("gradient_clip_val", float | None),
    Parameter("inference_mode", bool),
    Parameter("keep_memory", bool),
    Parameter("limit_predict_batches", int | float | None),
    Parameter("limit_test_batches", int | float | None),
    Parameter("limit_train_batches", int | float | None),
    Parameter("limit_val_batches", int | float | None),
    Parameter("log_every_n_steps", int),
    Parameter("matmul_precision", str | None),
    Parameter("max_epochs", int | None),
    Parameter("max_images", int | None),
    Parameter("max_steps", int),
    Parameter("max_time", str | dict | None),
    Parameter("min_epochs", int | None),
    Parameter("min_steps", int | None),
    Parameter("num_nodes", int),
    Parameter("num_sanity_val_steps", int | None),
    Parameter("overfit_batches", int),
    Parameter("precision", str | int),
    Parameter("profiler", Literal["simple", "advanced", "pytorch", "xla"] | None),
    Parameter("reload_dataloaders_every_n_epochs", int),
    Parameter("strategy", str),
    Parameter("sync_batchnorm", bool),
    Parameter("use_distributed_sampler", bool),
    Parameter("val_check_interval", int | float | str | None),
)
"""Arguments of `pl.Trainer` that can be written down, and the zoo's own ones."""
TRAINER_REFUSED = {
    "callbacks": "+callbacks.NAME._target_=…",
    "logger": "logger=…",
    "default_root_dir": "hydra.run.dir=…",
    "plugins": "trainer.precision=… or trainer.strategy=…",
    "model_registry": "logger=…",
}
"""Arguments of `pl.Trainer` that have another place, with that place."""

MODEL_FILLED = {
    "generator", "discriminator", "loss", "regularizers", "augmentations", "data", "schedules",
    "image_size", "channels", "num_classes", "latent_dim", "latent", "head",
}  # fmt: skip


def model_parameters() -> tuple[Parameter, ...]:
    """The options of the LightningModule (`model.lr_g`, `model.d_steps`), read from its source."""
    file = ZOO / "training" / "gan.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "GAN")
    found = from_source(node, tree, MODEL_FILLED)
    return tuple(p for p in found if p.name not in MODEL_FILLED)
