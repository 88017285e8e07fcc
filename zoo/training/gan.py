"""`GAN`, the LightningModule that trains every combination of the zoo's parts."""

from __future__ import annotations

import copy
import inspect
import os
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
from zoo.training.schedules import schedules_of
from zoo.training.start import Start
from zoo.training.window import NonFiniteError

__all__ = ["GAN", "NonFiniteError"]


Named = str | dict[str, Any]
"""A part given by its name, or by a dictionary of its name and options."""


def _listed(parts: Any) -> Sequence[Any]:
    """Return a sequence of parts; a single part becomes a list of one."""
    return parts if isinstance(parts, list | tuple) else [parts]


class GAN(TrainingModule):
    """Trains a generator against a discriminator with a loss, regularizers and augmentations.

    One `training_step` is `d_steps` updates of D, each on a batch of its own, and one update of G.
    `trainer.global_step` counts the updates of G, and `images_seen` the real images that D was
    trained on, over all processes.

    It trains on a data module of the zoo, or on any loader that yields images (N, C, H, W), uint8
    or float in [-1, 1], or pairs of images and labels (N,), int64:

        gan = zoo.GAN("dcgan", "dcgan", "hinge", image_size=32, channels=1, num_classes=10)
        trainer = pl.Trainer(max_epochs=2)
        trainer.fit(gan, datamodule=zoo.create("datamodule", "mnist_subset"))
        fives = gan.sample(16, label=5)
        trainer.save_checkpoint("mine.ckpt")
        images = zoo.load("mine.ckpt").sample(64, label=5)

    Args:
        generator, discriminator, loss, regularizers, augmentations: The parts: by name (`"r1"`), by
            name with options (`{"name": "r1", "gamma": 1.0}`), or as objects. Networks must be made
            by `zoo.create` if `zoo.load` is to rebuild them from a checkpoint.
        data: A description of the data set, stored in the checkpoint for sampling: `name`,
            `image_size`, `channels`, `num_classes`, `class_names`.
        schedules: Settings that change during training: schedules by target (see
            `zoo.training.schedules.Schedules`), as objects or as in the configuration:
            `{"lr_g": {"name": "linear", "start": 2e-4, "end": 0.0, "images": 100000}}`.
        image_size, channels, num_classes: The shape and the classes of the images, for networks
            given by name. None takes the value of the other network if that is an object, else of
            `data`; `num_classes` is then 0 if neither says otherwise.
        latent_dim: The length of a latent, for a generator given by name.
        latent: The prior of a generator given by name, specified like the other parts; null for
            `normal`.
        head: The head of a discriminator given by name; null for its default with or without
            classes.
        d_steps: The number of updates of D per update of G.
        accumulate: The number of pieces that the batch of an update is split into to save memory;
            their gradients are accumulated before one optimizer step. Batch norm sees one piece at
            a time.
        own_batch_for_g: Whether the update of G gets real images of its own, instead of those of
            D's last update; `images_seen` does not count them.
        optimizer: `adam`, `adamw`, `optimistic_adam` as in Daskalakis et al. (2018), or `rmsprop`
            as in Arjovsky et al. (2017).
        lr_g, lr_d: The learning rates of G and D (two time scales: Heusel et al., 2017,
            arXiv:1706.08500).
        lr_factor: A factor that multiplies both learning rates, scheduled ones too;
            `on_nan=rollback` halves it.
        betas: The decay rates of Adam's moments. With a lazy penalty (`every=k`), learning rate and
            betas are corrected as in Karras et al. (2020), arXiv:1912.04958, and a note says so.
        eps: The optimizer's term for numerical stability.
        weight_decay: The weight decay of AdamW; with the other optimizers, an L2 penalty.
        lr_decay: How the learning rates decay to 0 by the end of the training: `none`, `linear` or
            `cosine`.
        lr_decay_start: The share of the training after which the decay starts.
        average: How the generator's weights are averaged: `ema`, an exponential moving average, or
            `swa`, the plain mean of all weights from `ema_start` on.
        ema_half_life: The half-life of the average in images; null for no average.
        ema_beta: A fixed decay of the average per update, instead of the half-life.
        ema_rampup: The largest half-life as a share of the images seen; null for no ramp-up.
        ema_start: The number of images up to which the average is a copy of the weights.
        start: Where to take initial weights from, whatever data they were trained on: a checkpoint,
            a run's folder or a pretrained model's name (see `zoo.training.start.Start`).
        clip_grad_norm: The largest norm of each network's gradient; null for no clipping.
        compile: Whether to `torch.compile` the updates; parts that need a double backward pass stay
            eager.
        cuda_graph: Whether to capture the whole step as a CUDA graph; null does so where it is
            safe.
        channels_last: Whether convolutions use the channels-last memory format, which was measured
            to be faster.

    Attributes:
        sampled_generator: The generator to sample from: the averaged one if there is an average.
        notes: Sentences about settings that work differently than requested.
        images_seen, origin, shown: See `TrainingModule`.
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
        schedules: Mapping[str, Schedule | dict[str, Any]] | None = None,
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
        chosen: list[Regularizer] = [made_part("regularizer", r) for r in _listed(regularizers)]
        changes: list[Augmentation] = [made_part("augmentation", a) for a in _listed(augmentations)]
        shape = {"image_size": image_size, "channels": channels, "num_classes": num_classes}
        generator, discriminator = make_networks(
            generator, discriminator, self.loss, chosen, data, shape, latent_dim, latent, head
        )
        self.generator = generator
        self.discriminator = discriminator
        in_force = [*self.loss.regularizers(), *chosen]
        self.regularizers = nn.ModuleList(in_force)
        self._chosen = chosen  # without those that come with the loss
        self.augmentations = nn.ModuleList(changes)
        self.notes = compatibility.check(generator, discriminator, self.loss, in_force)
        self.notes += [
            f"{type(part).__name__} was not made by zoo.create: its checkpoints can resume this "
            "training, but zoo.load cannot rebuild it from them."
            for part in (generator, discriminator)
            if spec_of(part) is None
        ]
        self.data = data or unknown_data(generator)
        initial = None if start is None else Start(start)
        if initial is not None:
            initial.networks(generator, discriminator)
        pretrained = initial is not None
        self.notes += compatibility.set_up(in_force, generator, discriminator, pretrained)
        self.schedules = schedules_of(schedules or {})
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
        defaults = {k: p.default for k, p in inspect.signature(GAN).parameters.items()}
        if optimizer not in HAS_BETAS and tuple(betas) != defaults["betas"]:
            self.notes.append(f"model.betas={list(betas)} has no effect: {optimizer} has no betas.")
        own = {
            "lr_g": lr_g, "lr_d": lr_d, "beta1": betas[0], "beta2": betas[1],
            "ema_half_life": None if ema_half_life == defaults["ema_half_life"] else ema_half_life,
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
            if initial is not None:
                initial.average(self.ema)
        if initial is not None:
            self.origin = initial.record()
            self.notes.append(initial.note)
            if generator.num_classes:
                self.notes += initial.renamed(self.data.get("class_names") or ())

    @property
    def sampled_generator(self) -> Generator:
        """The averaged generator if there is one, else the trained generator."""
        return self.ema_generator if self.ema is not None else self.generator  # type: ignore[return-value]

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Make images (N, C, H, W) in [-1, 1] from latents (N, latent_dim) and labels (N,)."""
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
        """Sample images from the current weights, as `LoadedGenerator.sample` does.

        For instance, `gan.sample(16, label=5)`.
        """
        return self.snapshot().sample(n, label, seed, truncation, batch_size)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the current weights to a file that `load` reads, as `LoadedGenerator.save` does.

        For instance, `gan.save("mine.safetensors")`.
        """
        return self.snapshot().save(path)

    def snapshot(self) -> LoadedGenerator:
        """Return a copy of the generator, as `zoo.load` would return it from a checkpoint."""
        network = copy.deepcopy(self.sampled_generator).float().eval()
        weights: Literal["ema", "raw"] = "ema" if self.ema is not None else "raw"
        return LoadedGenerator(network, self.describe(), weights, Path("this GAN"))

    def describe(self) -> dict[str, Any]:
        """Return, as plain values, all that is needed to rebuild the networks from a checkpoint."""
        parts = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "loss": self.loss,
        }
        return {
            "format": FORMAT,
            "version": __version__,
            **{kind: spec(part) for kind, part in parts.items()},
            "regularizers": [spec(r) for r in self._chosen],
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
