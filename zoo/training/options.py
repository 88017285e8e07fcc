"""The options of the LightningModule (`model.lr_g`, `model.d_steps`)."""

from __future__ import annotations

import ast

from zoo.registry.places import ZOO
from zoo.registry.signature import Parameter, from_source

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
