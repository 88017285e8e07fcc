"""The one LightningModule of the zoo: the adversarial step for every combination of parts."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.latent import Latent
from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.schedule import Schedule
from zoo.core.errors import above, at_least, below
from zoo.core.sizes import ImageSize
from zoo.core.version import __version__
from zoo.inference.describe import FORMAT
from zoo.inference.latents import Label
from zoo.inference.load import LoadedGenerator
from zoo.layers.product import route_products
from zoo.registry import idle_beside, idle_when, spec_of
from zoo.registry.calls import held_to_annotations
from zoo.registry.spec import source, spec
from zoo.training import compatibility
from zoo.training.description import unknown_data
from zoo.training.ema import EMA
from zoo.training.learning_rates import LearningRates
from zoo.training.module import TrainingModule
from zoo.training.networks import made_part, make_networks
from zoo.training.optimizers import HAS_BETAS
from zoo.training.start import Start
from zoo.training.window import NonFiniteError

__all__ = ["GAN", "NonFiniteError"]


Named = str | dict[str, Any]
"""A part by its name, alone or with options."""


def _listed(parts: Any) -> Sequence[Any]:
    """Several parts, of which one may be given alone."""
    return parts if isinstance(parts, list | tuple) else [parts]


class GAN(TrainingModule):
    """Trains a generator against a discriminator under a loss, regularizers and augmentations.

    One `training_step` is `d_steps` updates of D, each on a batch of its own, and one update of G;
    `trainer.global_step` counts updates of G, `images_seen` real images over all processes.

    Without the command line, on a data module of the zoo or on any loader of images (N, C, H, W),
    uint8 or float in [-1, 1], or of pairs of images and labels (N,) int64:

        gan = zoo.GAN("dcgan", "dcgan", "hinge", image_size=32, channels=1, num_classes=10)
        trainer = pl.Trainer(max_epochs=2)
        trainer.fit(gan, datamodule=zoo.create("datamodule", "mnist_subset"))
        fives = gan.sample(16, label=5)
        trainer.save_checkpoint("mine.ckpt")
        images = zoo.load("mine.ckpt").sample(64, label=5)

    Args:
        generator, discriminator, loss, regularizers, augmentations: parts by name (`"r1"`), by
            name with options (`{"name": "r1", "gamma": 1.0}`), or as objects, made by `zoo.create`
            where the checkpoint is to describe itself.
        data: `name`, `image_size`, `channels`, `num_classes`, `class_names` of the data set, kept
            in the checkpoint for sampling.
        schedules: of settings that change while training, by target (see
            `zoo.training.schedules.Schedules`).
        image_size, channels, num_classes: of networks given by name; None takes those of the other
            network, or of `data`, and no classes.
        latent_dim: of a generator given by name.
        latent: what a generator given by name draws from: a part like the others; None is `normal`.
        head: of a discriminator given by name; None takes the one that goes with the classes.
        d_steps: updates of D per update of G.
        accumulate: pieces that the batch of an update is shared into, to save memory; one step of
            the optimizer sums them up. Batch norm and its running statistics are of a piece.
        own_batch_for_g: G is updated beside real images of its own instead of those of D's last
            update; `images_seen` counts D's.
        optimizer: `adam`, `adamw`, `optimistic_adam` as in Daskalakis et al. (2018), or `rmsprop`
            as in Arjovsky et al. (2017).
        lr_g, lr_d: learning rates (two time scales: Heusel et al., 2017, arXiv:1706.08500).
        lr_factor: on both learning rates, also where they are scheduled; `on_nan=rollback` halves
            it.
        betas: decays of Adam's moments. Under a penalty with `every=k` both are corrected as in
            Karras et al. (2020), arXiv:1912.04958, and a note says so.
        eps: of the optimizer.
        weight_decay: of AdamW; an L2 penalty in the others.
        lr_decay: `linear` and `cosine` go to 0 over the whole training, from `lr_decay_start` on.
        lr_decay_start: share of the training after which the decay starts.
        average: `ema`, which forgets, or `swa`, the mean of all weights from `ema_start` on.
        ema_half_life: of the averaged generator, in images; null for no average.
        ema_beta: a fixed decay per update instead of the half-life.
        ema_rampup: the half-life is at most this share of the images seen; null for no ramp-up.
        ema_start: images before which the average is a copy of the weights.
        start: weights to begin with, of another training on whatever data: a checkpoint, a run's
            folder, a name of the embedded zoo (see `zoo.training.start.Start`).
        clip_grad_norm: largest norm of each network's gradient; null for no clipping.
        compile: `torch.compile` the updates where a double backward pass does not forbid it.
        cuda_graph: capture the whole step as a CUDA graph; null does so where it is safe.
        channels_last: memory format of convolutions, which is measured faster; false for the plain
            one.

    Attributes:
        sampled_generator: what is sampled from: the average where there is one, else the generator.
        notes: what works otherwise than asked for, in words.
        images_seen, origin, shown: see `TrainingModule`.
    """

    @held_to_annotations("zoo.GAN", "model.")
    def __init__(
        self,
        generator: Generator | Named,
        discriminator: Discriminator | Named,
        loss: Loss | Named,
        regularizers: Sequence[Regularizer | Named] | Regularizer | Named = (),
        augmentations: Sequence[Augmentation | Named] | Augmentation | Named = (),
        data: dict[str, Any] | None = None,
        schedules: Mapping[str, Schedule] | None = None,
        *,
        image_size: ImageSize | None = None,
        channels: int | None = None,
        num_classes: int | None = None,
        latent_dim: Annotated[int, at_least(1)] = 100,
        latent: Latent | str | dict[str, Any] | None = None,
        head: str | dict[str, Any] | None = None,
        d_steps: Annotated[int, at_least(1)] = 1,
        accumulate: Annotated[int, at_least(1)] = 1,
        own_batch_for_g: bool = False,
        optimizer: Literal["adam", "adamw", "optimistic_adam", "rmsprop"] = "adam",
        lr_g: Annotated[float, above(0)] = 2e-4,
        lr_d: Annotated[float, above(0)] = 2e-4,
        lr_factor: Annotated[float, above(0)] = 1.0,
        betas: list[Annotated[float, at_least(0), below(1)]] = (0.5, 0.999),  # type: ignore[assignment]
        eps: Annotated[float, at_least(0)] = 1e-8,
        weight_decay: Annotated[float, at_least(0)] = 0.0,
        lr_decay: Literal["none", "linear", "cosine"] = "none",
        lr_decay_start: Annotated[float, at_least(0), below(1), idle_when(lr_decay="none")] = 0.0,
        average: Literal["ema", "swa"] = "ema",
        ema_half_life: Annotated[float, above(0), idle_when(average="swa"), idle_beside("ema_beta")]
        | None = 10000.0,
        ema_beta: Annotated[float, at_least(0), below(1), idle_when(average="swa")] | None = None,
        ema_rampup: Annotated[float, above(0), idle_when(average="swa"), idle_beside("ema_beta")]
        | None = 0.05,
        ema_start: Annotated[
            int, at_least(0), idle_when(average="ema", ema_half_life=None, ema_beta=None)
        ] = 0,
        start: str | None = None,
        clip_grad_norm: Annotated[float, above(0)] | None = None,
        compile: bool = False,
        cuda_graph: bool | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        self.loss: Loss = made_part("loss", loss)
        given: list[Regularizer] = [made_part("regularizer", r) for r in _listed(regularizers)]
        changes: list[Augmentation] = [made_part("augmentation", a) for a in _listed(augmentations)]
        shape = {"image_size": image_size, "channels": channels, "num_classes": num_classes}
        generator, discriminator = make_networks(
            generator, discriminator, self.loss, given, data, shape, latent_dim, latent, head
        )
        self.generator = generator
        self.discriminator = discriminator
        in_force = [*self.loss.regularizers(), *given]
        self.regularizers = nn.ModuleList(in_force)
        self._given = given  # without those of the loss, which brings them itself
        self.augmentations = nn.ModuleList(changes)
        self.notes = compatibility.check(generator, discriminator, self.loss, in_force)
        self.notes += [
            f"{type(part).__name__} was not made by zoo.create: its checkpoints continue this "
            "training, but zoo.load cannot rebuild it."
            for part in (generator, discriminator)
            if spec_of(part) is None
        ]
        self.data = data or unknown_data(generator)
        begun = None if start is None else Start(start)
        if begun is not None:
            begun.networks(generator, discriminator)
        self.notes += compatibility.set_up(in_force, generator, discriminator, begun is not None)
        self.schedules = dict(schedules or {})
        compatibility.check_decay(self.schedules, lr_decay)
        compatibility.check_augmentations(changes, self.schedules)
        self.d_steps = d_steps
        self.accumulate = accumulate
        self.own_batch_for_g = own_batch_for_g
        self.optimizer_name = optimizer
        self.eps = eps
        self.weight_decay = weight_decay
        self.lr_factor = lr_factor
        self.rates = LearningRates(
            lr_factor * lr_g,
            lr_factor * lr_d,
            betas,
            optimizer in HAS_BETAS,
            in_force,
            lr_decay,
            lr_decay_start,
        )
        self.notes += self.rates.notes
        usual = inspect.signature(GAN).parameters["ema_half_life"].default
        own = {
            "lr_g": lr_g, "lr_d": lr_d, "beta1": betas[0], "beta2": betas[1],
            "ema_half_life": None if ema_half_life == usual else ema_half_life,
        }  # fmt: skip
        self.notes += compatibility.overruled(self.schedules, own, self.schedulable_parts())
        self.clip_grad_norm = clip_grad_norm
        self.compile_step = compile
        self.cuda_graph = cuda_graph
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        for network in (generator, discriminator):
            network.to(memory_format=self.memory_format)
            route_products(network)
        self.ema = None
        if average == "swa" or ema_half_life is not None or ema_beta is not None:
            self.ema = EMA(
                generator,
                half_life=ema_half_life,
                beta=ema_beta,
                rampup=ema_rampup,
                start=ema_start,
                equal=average == "swa",
            )
            self.ema_generator = self.ema.module
            if begun is not None:
                begun.average(self.ema)
        if begun is not None:
            self.origin = begun.record()
            self.notes.append(begun.note)
            if generator.num_classes:
                self.notes += begun.renamed(self.data.get("class_names") or ())

    @property
    def sampled_generator(self) -> Generator:
        """The averaged generator where there is one, else the trained one."""
        return self.ema_generator if self.ema is not None else self.generator  # type: ignore[return-value]

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latents (N, latent_dim) and labels (N,)."""
        return self.sampled_generator(z, y)

    @held_to_annotations("gan.sample")
    def sample(
        self,
        n: int = 64,
        label: Label = None,
        seed: int = 0,
        truncation: float | None = None,
        batch_size: int = 64,
    ) -> Tensor:
        """Draw images as they are now: `gan.sample(16, label=5)`, see `LoadedGenerator.sample`."""
        return self.snapshot().sample(n, label, seed, truncation, batch_size)

    def snapshot(self) -> LoadedGenerator:
        """A copy of the generator to sample from, as `zoo.load` would give it of a checkpoint."""
        network = copy.deepcopy(self.sampled_generator).eval()
        weights: Literal["ema", "raw"] = "ema" if self.ema is not None else "raw"
        return LoadedGenerator(network, self.describe(), weights, Path("this GAN"))

    def describe(self) -> dict[str, Any]:
        """All that rebuilds the networks without config files or data set, as plain values."""
        parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "loss": self.loss,
        }
        return {
            "format": FORMAT,
            "version": __version__,
            **{kind: spec(part) for kind, part in parts.items()},
            "regularizers": [spec(r) for r in self._given],
            "augmentations": [spec(a) for a in self.augmentations],
            **({"latent": spec(self.generator.latent)} if self.generator.latent else {}),
            "schedules": {name: spec(s) for name, s in self.schedules.items()},
            "optimizer": self.optimizer_name,
            "sources": {kind: source(kind, part) for kind, part in parts.items()},
            "data": self.data,
            **({"start": self.origin} if self.origin else {}),
            "ema": self.ema is not None,
            "averaged": self.ema.averaged if self.ema is not None and self.ema.equal else 0,
            "images_seen": self.images_seen,
            "step": self._updates,
            "logged_step": self._updates - len(self._window),
            **self.run_description,
        }
