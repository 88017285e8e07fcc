"""The options of `GAN` (`model.lr_g`) and of the trainer, known without importing torch."""

from __future__ import annotations

import ast
from typing import Annotated, Literal

from zoo.core.errors import at_least
from zoo.registry.places import ZOO
from zoo.registry.signature import Parameter, from_source

TRAINER_PARAMETERS = (
    Parameter("accelerator", str),
    Parameter("accumulate_grad_batches", int),
    Parameter("barebones", bool),
    Parameter("benchmark", bool | None),
    Parameter("check_val_every_n_epoch", Annotated[int, at_least(1)] | None),
    Parameter("detect_anomaly", bool),
    Parameter("deterministic", bool | Literal["warn"] | None),
    Parameter("devices", int | str | list[int]),
    Parameter("enable_autolog_hparams", bool),
    Parameter("enable_checkpointing", bool | None),
    Parameter("enable_model_summary", bool | None),
    Parameter("enable_progress_bar", bool | None),
    Parameter("ends_from_here", bool),
    Parameter("fast_dev_run", bool | int),
    Parameter("gpus", Annotated[int, at_least(0)] | None),
    Parameter("gradient_clip_algorithm", str | None),
    Parameter("gradient_clip_val", Annotated[float, at_least(0)] | None),
    Parameter("inference_mode", bool),
    Parameter("keep_memory", bool),
    Parameter("limit_predict_batches", Annotated[int | float, at_least(0)] | None),
    Parameter("limit_test_batches", Annotated[int | float, at_least(0)] | None),
    Parameter("limit_train_batches", Annotated[int | float, at_least(0)] | None),
    Parameter("limit_val_batches", Annotated[int | float, at_least(0)] | None),
    Parameter("log_every_n_steps", Annotated[int, at_least(1)]),
    Parameter("matmul_precision", str | None),
    Parameter("max_epochs", int | None),
    Parameter("max_images", Annotated[int, at_least(1)] | None),
    Parameter("max_steps", int),
    Parameter("max_time", str | dict | None),
    Parameter("min_epochs", Annotated[int, at_least(0)] | None),
    Parameter("min_steps", Annotated[int, at_least(0)] | None),
    Parameter("num_nodes", Annotated[int, at_least(1)]),
    Parameter("num_sanity_val_steps", Annotated[int, at_least(-1)] | None),
    Parameter("overfit_batches", Annotated[int, at_least(0)]),
    Parameter("precision", str | int),
    Parameter("profiler", Literal["simple", "advanced", "pytorch", "xla"] | None),
    Parameter("reload_dataloaders_every_n_epochs", Annotated[int, at_least(0)]),
    Parameter("strategy", str),
    Parameter("sync_batchnorm", bool),
    Parameter("use_distributed_sampler", bool),
    Parameter("val_check_interval", int | float | str | None),
)
"""The arguments of `pl.Trainer` that have plain values, and the zoo's own options."""
TRAINER_REFUSED = {
    "callbacks": "+callbacks.NAME._target_=…",
    "logger": "logger=…",
    "default_root_dir": "hydra.run.dir=…",
    "plugins": "trainer.precision=… or trainer.strategy=…",
    "model_registry": "logger=…",
}
"""The arguments of `pl.Trainer` that are set elsewhere, and where."""

MODEL_FILLED = {
    "generator", "discriminator", "loss", "regularizers", "augmentations", "data", "schedules",
    "image_size", "channels", "num_classes", "latent_dim", "latent", "head",
}  # fmt: skip


def model_parameters() -> tuple[Parameter, ...]:
    """Read the options of `GAN` (`model.lr_g`, `model.d_steps`) from its source."""
    file = ZOO / "training" / "gan.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    node = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "GAN")
    parameters = from_source(node, tree, MODEL_FILLED)
    return tuple(p for p in parameters if p.name not in MODEL_FILLED)
