"""The recipes' settings against those published: what differs stands in the recipe's own words.

Each row is a paper's (or, where the recipe says so, StudioGAN's or torch-mimicry's) table.
"""

from __future__ import annotations

from typing import Any

import pytest
import recipes

from zoo.training.ema import EMA

ADAM_5 = {"betas": [0.5, 0.999], "optimizer": "adam"}
PUBLISHED: dict[str, dict[str, Any]] = {
    "sngan": {
        "batch": 64, "d_steps": 5, "lr": (2e-4, 2e-4), "betas": [0.0, 0.9], "average": None,
        "lr_decay": "linear", "steps": 100_000, "loss": "hinge", "labels": False, "flip": True,
    },
    "cgan_projection": {
        "batch": 64, "d_steps": 5, "lr": (2e-4, 2e-4), "betas": [0.0, 0.9], "average": None,
        "lr_decay": "linear", "labels": True, "discriminator": "projection",
    },
    "wgan_gp": {
        "batch": 64, "d_steps": 5, "lr": (2e-4, 2e-4), "betas": [0.0, 0.9], "average": None,
        "lr_decay": "linear", "steps": 100_000, "loss": "wgan_gp", "penalty": 10.0,
    },
    "sagan": {
        "d_steps": 1, "lr": (1e-4, 4e-4), "betas": [0.0, 0.9], "average": None, "loss": "hinge",
        "lr_decay": "none", "labels": True,
    },
    "dcgan_cifar10": {
        **ADAM_5, "batch": 128, "d_steps": 1, "lr": (2e-4, 2e-4), "average": None, "flip": False,
        "labels": False, "latent_dim": 100,
    },
    "biggan_cifar10": {
        **ADAM_5, "batch": 64, "d_steps": 5, "lr": (2e-4, 2e-4), "eps": 1e-6, "decay": 0.9999,
        "ema_start": 1000 * 5 * 64, "steps": 100_000, "loss": "hinge", "labels": True,
        "latent_dim": 80, "flip": True,
    },
    "stylegan2_cifar10": {
        "batch": 64, "lr": (2.5e-3 * 4 / 5, 2.5e-3), "betas": [0.0, 0.99], "eps": 1e-8,
        "half_life": 500_000, "rampup": 0.05, "r1": (0.01, 16), "flip": False, "labels": True,
        "latent_dim": 512, "images": 100_000_000, "regularizers": ["r1"], "style_mixing": 0.0,
        "mapping_layers": 2, "d_steps": 1, "loss": "bce",
    },
    "stylegan3_ffhq256": {
        "batch": 32, "lr": (2.5e-3, 2e-3), "betas": [0.0, 0.99], "half_life": 32 * 10 / 32 * 1000,
        "rampup": 0.05, "r1": (2.0, 16), "regularizers": ["r1"], "mapping_layers": 2,
        "loss": "bce", "labels": False,
    },
    "r3gan_cifar10": {
        "batch": 512, "lr": (2e-4, 2e-4), "betas": [0.0, 0.9], "eps": 1e-8, "rampup": None,
        "loss": "rpgan", "regularizers": ["r1", "r2"], "r1": (0.05, 1), "r2": (0.05, 1),
        "own_batch_for_g": True, "flip": True, "labels": True, "latent_dim": 64,
        "schedules": {
            "lr_g": (2e-4, 5e-5), "lr_d": (2e-4, 5e-5), "beta2": (0.9, 0.99),
            "regularizer.r1.gamma": (0.05, 0.005), "regularizer.r2.gamma": (0.05, 0.005),
            "ema_half_life": (0, 5_000_000), "augmentation.ada.p": (0, 0.55),
        },
    },
    "gat_cifar10": {
        "batch": 512, "optimizer": "adamw", "weight_decay": 0.0,
        "lr": (2e-4 * 768 / 384, 2e-4 * 768 / 384), "betas": [0.0, 0.99], "decay": 0.999,
        "loss": "rpgan", "regularizers": ["fd_r1", "fd_r2"], "clip_grad_norm": 1.0,
        "fd_r1": (0.1, 1), "fd_r2": (0.1, 1), "latent_dim": 64, "labels": True,
        "diffaugment": (True, 0.5, 1 / 8, 0.5),
    },
    "fastgan_few_shot": {
        **ADAM_5, "batch": 8, "lr": (2e-4, 2e-4), "decay": 0.999, "steps": 50_000,
        "loss": "hinge", "regularizers": [], "latent_dim": 256, "labels": False,
        "diffaugment": (True, 1.0, 1 / 8, 0.0),
    },
    "projected_fastgan": {
        "batch": 64, "lr": (2e-4, 2e-4), "betas": [0.0, 0.99], "half_life": 64 * 10 / 32 * 1000,
        "loss": "hinge", "regularizers": [], "latent_dim": 256, "labels": False,
        "diffaugment": (True, 1.0, 1 / 8, 0.2),
    },
    "unet_gan": {
        "batch": 20, "lr": (1e-4, 5e-4), "betas": [0.0, 0.999], "decay": 0.9999,
        "ema_start": 21_000 * 20, "loss": "bce", "regularizers": [], "labels": False,
        "attention": 0,
    },
    "infogan_mnist": {
        "batch": 128, "lr": (1e-3, 2e-4), "betas": [0.5, 0.999], "average": None,
        "latent_dim": 74, "steps": 5000, "image_size": 28,
    },
    "pacgan_stacked_mnist": {
        **ADAM_5, "batch": 2 * 64, "lr": (2e-4, 2e-4), "average": None, "latent_dim": 100,
        "epochs": 50, "image_size": 28, "packs": 2, "labels": False,
    },
    "pacgan_stacked_mnist_dcgan": {
        **ADAM_5, "batch": 64, "lr": (2e-4, 2e-4), "average": None, "epochs": 50,
        "regularizers": [],
    },
    "pacgan_ring": {
        "batch": 2 * 100, "lr": (1e-4, 1e-4), "betas": [0.8, 0.999], "average": None,
        "latent_dim": 2, "epochs": 400, "packs": 2,
    },
}  # fmt: skip


def found(config: dict[str, Any]) -> dict[str, Any]:
    """What a recipe sets, in the words of the tables."""
    model, data, trainer = config["model"], config["datamodule"], config["trainer"]
    regularizers = model.get("regularizer") or {}
    augmentation = model.get("augmentation") or {}
    half_life, beta = model["ema_half_life"], model["ema_beta"]
    scheduled = model.get("schedules") or {}
    change = augmentation.get("diffaugment", {})
    keys = ("color", "color_probability", "translation", "cutout")
    return {
        **{k: model[k] for k in ("d_steps", "betas", "optimizer", "eps", "lr_decay", "ema_start")},
        **{k: model[k] for k in ("weight_decay", "clip_grad_norm", "own_batch_for_g")},
        "batch": data["batch_size"],
        "image_size": data.get("image_size"),
        "flip": data.get("flip"),
        "labels": bool(model["conditional"]) or data.get("labels", "none") != "none",
        "latent_dim": model["latent_dim"],
        "lr": (model["lr_g"], model["lr_d"]),
        "average": None if half_life is None and beta is None else (half_life, beta),
        "decay": beta,
        "half_life": half_life,
        "rampup": model["ema_rampup"],
        "steps": trainer.get("max_steps"),
        "images": trainer.get("max_images"),
        "epochs": trainer.get("max_epochs"),
        "loss": model["loss"]["_target_"].split(".")[-2],
        "penalty": model["loss"].get("penalty"),
        "discriminator": model["discriminator"]["_target_"].split(".")[-2],
        "regularizers": [*regularizers],
        **{name: (r.get("gamma"), r.get("every")) for name, r in regularizers.items()},
        "packs": regularizers.get("packing", {}).get("images"),
        "diffaugment": tuple(change.get(k) for k in keys),
        "schedules": {k: (v["start"], v["end"]) for k, v in scheduled.items()},
        **{k: model["generator"].get(k) for k in ("style_mixing", "mapping_layers", "attention")},
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_has_the_published_settings(name: str) -> None:
    got = found(recipes.composed(name))
    for key, want in PUBLISHED[name].items():
        assert got[key] == pytest.approx(want) if key == "lr" else got[key] == want, key


def test_schedules_of_r3gan_are_cosines_over_twenty_million_images() -> None:
    for schedule in recipes.composed("r3gan_cifar10")["model"]["schedules"].values():
        assert (schedule["name"], schedule["images"]) == ("cosine", 20_000_000)


def test_a_fixed_decay_has_no_ramp_up() -> None:
    average = EMA(recipes.torch.nn.Linear(1, 1), half_life=None, beta=0.999)
    assert average.decay(512, 512) == 0.999
