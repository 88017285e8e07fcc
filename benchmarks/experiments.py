"""The experiments of `benchmarks.methods`: their trainings, metrics, and published numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Experiment:
    """An experiment, which fills one table: the same training in several ways.

    Attributes:
        title: the title of the table.
        updates: the number of updates of G in a run, suitable for two cores.
        common: the settings that all ways share.
        ways: the further settings of each way, by the name of its row.
        metrics: the metrics of the last checkpoint.
        figures: the figures shown in the table, with their headings.
        paper: the published values of each way, in the order of the figures.
        source: the paper, and how its training differs.
        evaluation: options of the evaluation besides `metrics`.
        draws_codes: whether to write an image grid that shows the effect of the categorical code.
    """

    title: str
    updates: int
    common: tuple[str, ...]
    ways: Mapping[str, tuple[str, ...]]
    metrics: tuple[str, ...]
    figures: Mapping[str, str]
    paper: Mapping[str, tuple[str, ...]]
    source: str
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    draws_codes: bool = False


def packed(batch: int) -> dict[str, tuple[str, ...]]:
    """Return the settings of a plain GAN and of PacGAN2 to 4, in batches of `batch` packs."""
    ways = {"GAN": ("model.regularizer.packing.images=1", f"datamodule.batch_size={batch}")}
    for images in (2, 3, 4):
        settings = f"model.regularizer.packing.images={images}"
        ways[f"PacGAN{images}"] = (settings, f"datamodule.batch_size={images * batch}")
    return ways


TOY = (
    "model.generator.width=128", "model.discriminator.width=64", "model.lr_g=1e-3",
    "model.lr_d=1e-3", "datamodule.spread=0.02",
)  # fmt: skip
"""Settings for a small, fast version of PacGAN's networks for points, with wider modes."""
TOY_SOURCE = (
    "PacGAN (arXiv:1712.04086): 10 trials of 400 epochs of 100,000 points, Adam 1e-4, widths 400 "
    "and 200 of G and D, standard deviation {}. Here widths are 128 and 64, the learning rate is "
    "1e-3 and the standard deviation {}, so that few updates go further; every way has as "
    "many updates, in batches of 100 packs."
)
POINTS = {
    "modes": "modes ↑", "high_quality": "high-quality share ↑", "mode_kl": "KL ↓",
}  # fmt: skip
STACKED = {"modes": "modes ↑", "mode_kl": "KL ↓"}


def of_points(
    title: str, recipe: str, paper: dict[str, tuple[str, ...]], source: str
) -> Experiment:
    """Return an experiment on the effect of packing for points in the plane."""
    return Experiment(
        title=title,
        updates=2500,
        common=(f"experiment={recipe}", *TOY),
        ways=packed(100),
        metrics=("point_modes",),
        figures=POINTS,
        evaluation={"n": 2500},
        paper=paper,
        source=source,
    )


def of_few(title: str, images: int, updates: int, source: str) -> Experiment:
    """Return an experiment on what helps with only `images` images of Fashion-MNIST."""
    return Experiment(
        title=title,
        updates=updates,
        common=(
            "experiment=train_fashion_mnist_gan", "logger=csv", "datamodule.image_size=28",
            f"datamodule.train_val_test_split=[{images},0,10000]",
            "model.generator.base_channels=16", "model.discriminator.base_channels=16",
        ),
        ways={
            "nothing": (),
            "ADA": ("model/augmentation=[ada]", "model.augmentation.ada.speed=100000"),
            "DiffAugment": ("model/augmentation=[diffaugment]",),
            "APA": ("model/augmentation=[apa]", "model.augmentation.apa.speed=100000"),
            "LeCam": (
                "model/regularizer=[lecam]", "model.regularizer.lecam.weight=0.01",
                "model.regularizer.lecam.start=200",
            ),
        },
        metrics=("fid", "conditional_accuracy"),
        figures={"fid": "FID ↓", "conditional_accuracy": "conditional accuracy ↑"},
        evaluation={"features": "fashion_mnist", "split": "test"},
        paper={},
        source=(
            f"DCGAN-small with labels, batches of 64, the same {images:,} images for every seed, "
            "figures by the embedded classifier's features beside the 10,000 test images, which no "
            f"run has seen. {source} p of ADA and APA may rise five times as fast as in the "
            "papers, and LeCam's weight is 0.01 where scores are BCE's logits without spectral "
            "norm."
        ),
    )  # fmt: skip


EXPERIMENTS = {
    "ring": of_points(
        title="Eight modes on a ring",
        recipe="pacgan_ring",
        paper={
            "GAN": ("6.3", "0.982", "0.45"),
            "PacGAN2": ("7.9", "0.956", "0.07"),
            "PacGAN3": ("7.8", "0.977", "0.10"),
            "PacGAN4": ("7.8", "0.959", "0.07"),
        },
        source=TOY_SOURCE.format("0.01 of the radius", "0.027 of it"),
    ),
    "grid": of_points(
        title="Twenty-five modes on a grid",
        recipe="pacgan_grid",
        paper={
            "GAN": ("17.3", "0.948", "0.70"),
            "PacGAN2": ("23.8", "0.913", "0.13"),
            "PacGAN3": ("24.6", "0.942", "0.06"),
            "PacGAN4": ("24.8", "0.936", "0.04"),
        },
        source=TOY_SOURCE.format("0.025 of the distance of two modes", "0.05 of it"),
    ),
    "few_images": of_few(
        "A tenth of Fashion-MNIST",
        images=6000,
        updates=1500,
        source=(
            "The papers have no such row: they report better FID for each of the four where a "
            "discriminator learns few images by heart, which takes many more epochs than these."
        ),
    ),
    "fewer_images": of_few(
        "A hundredth of Fashion-MNIST",
        images=600,
        updates=5000,
        source=(
            "The papers have no such row, but report better FID for each of the four where there "
            "are few images for as many epochs as here."
        ),
    ),
    "infogan_codes": Experiment(
        title="InfoGAN's categorical code on MNIST",
        updates=5000,
        common=(
            "experiment=infogan_mnist", "model/generator=infogan_small",
            "model/discriminator=infogan_small",
        ),
        ways={"InfoGAN": ()},
        metrics=("code_accuracy", "fid"),
        figures={"code_accuracy": "accuracy of the code ↑", "fid": "FID ↓"},
        paper={"InfoGAN": ("0.95", "")},
        source=(
            "InfoGAN (arXiv:1606.03657) matches Q's reading of real digits with their classes; "
            "here the code that an image was generated from is matched with the class that the "
            "embedded classifier sees in it. Narrower networks than the paper's."
        ),
        draws_codes=True,
    ),
    "stacked_mnist": Experiment(
        title="Stacked MNIST, the VEEGAN setting",
        updates=2000,
        common=(
            "experiment=pacgan_stacked_mnist", "model.generator.base_channels=16",
            "model.discriminator.base_channels=16",
        ),
        ways=packed(64),
        metrics=("modes",),
        figures=STACKED,
        paper={
            "GAN": ("78.9 ± 6.5", "4.50 ± 0.13"),
            "PacGAN2": ("1000", "0.06"),
            "PacGAN3": ("1000", "0.06"),
            "PacGAN4": ("1000", "0.07"),
        },
        source=(
            "PacGAN (arXiv:1712.04086): 50 epochs of 128,000 images, widths from 64. Here widths "
            "are a quarter of that, and every way has as many updates, in batches of 64 packs."
        ),
    ),
    "stacked_mnist_unrolled": Experiment(
        title="Stacked MNIST, unrolled GAN's setting, D a quarter of G",
        updates=3000,
        common=(
            "experiment=pacgan_stacked_mnist", "model/latent=normal", "model.latent_dim=256",
            "model.generator.setting=unrolled", "model.discriminator.setting=unrolled",
            "model.discriminator.base_channels=2", "model.lr_g=1e-4", "model.lr_d=2e-4",
            "model.betas=[0.5,0.99]",
        ),
        ways=packed(128),
        metrics=("modes",),
        figures=STACKED,
        evaluation={"n": 25_600},
        paper={
            "GAN": ("78.5", "5.21"),
            "PacGAN2": ("484.5", "2.61"),
            "PacGAN3": ("601.3", "2.00"),
            "PacGAN4": ("667.4", "1.81"),
        },
        source=(
            "PacGAN (arXiv:1712.04086): the networks, latents and rates are the paper's; it "
            "trains far longer, on new stacks for every batch. Batches of 128 packs."
        ),
    ),
}  # fmt: skip
"""The experiments by the name that `python -m benchmarks.methods` takes."""
