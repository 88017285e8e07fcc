"""The one LightningModule of the zoo: the adversarial step for every combination of parts."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.latent import Latent
from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.schedule import Schedule
from zoo.core.distributed import average_buffers, gather_objects
from zoo.core.errors import ZooError, above, at_least
from zoo.core.sizes import ImageSize
from zoo.core.version import __version__
from zoo.data.checks import check_batch
from zoo.data.pixels import to_float
from zoo.inference.describe import FORMAT
from zoo.inference.latents import Label
from zoo.inference.load import LoadedGenerator
from zoo.registry import spec_of
from zoo.registry.spec import source, spec
from zoo.training import compatibility
from zoo.training.cuda_graph import GraphedStep, obstacle
from zoo.training.description import unknown_data
from zoo.training.ema import EMA
from zoo.training.lightning import LeanModule, LightningBackend, check_strategy
from zoo.training.networks import made_part, make_networks
from zoo.training.optimizers import adam, lazy_adam, lazy_interval
from zoo.training.schedules import Schedules
from zoo.training.step import AdversarialStep
from zoo.training.terms import named
from zoo.training.window import NonFiniteError, Window

__all__ = ["GAN", "NonFiniteError"]

_LONGEST_WINDOW = 1000
"""Steps after which values are read even where nobody asks for them, so that memory stays flat."""


def _listed(parts: Any) -> Sequence[Any]:
    """Several parts, of which one may be given alone."""
    return [parts] if isinstance(parts, str | dict) else parts


class GAN(LeanModule):
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
        latent: what a generator given by name draws from: a part like the others.
        head: of a discriminator given by name; None takes the one that goes with the classes.
        d_steps: updates of D per update of G.
        accumulate: parts that the batch of an update is shared into, to save memory; one step of
            the optimizer sums them up.
        own_batch_for_g: G is updated beside real images of its own instead of those of D's last
            update; `images_seen` counts D's.
        optimizer: `adam`, `adamw`, or `rmsprop` as in Arjovsky et al. (2017).
        lr_g, lr_d: learning rates (two time scales: Heusel et al., 2017, arXiv:1706.08500).
        betas: decays of Adam's moments. Under a penalty with `every=k` both are corrected as in
            Karras et al. (2020), arXiv:1912.04958, and a note says so.
        eps: of Adam.
        weight_decay: of AdamW; an L2 penalty in Adam.
        lr_decay: `linear` and `cosine` go to 0 over the whole training, from `lr_decay_start` on.
        lr_decay_start: share of the training after which the decay starts, in [0, 1).
        ema_half_life: of the averaged generator, in images; null for no average.
        ema_beta: a fixed decay per update instead of the half-life.
        ema_rampup: the half-life is at most this share of the images seen; null for no ramp-up.
        ema_start: images before which the average is a copy of the weights.
        clip_grad_norm: largest norm of each network's gradient; null for no clipping.
        compile: `torch.compile` the updates where a double backward pass does not forbid it.
        cuda_graph: capture the whole step as a CUDA graph; null does so where it is safe.
        channels_last: memory format of convolutions, which is measured faster; false for the plain
            one.

    Attributes:
        images_seen: real images trained on, over all processes.
        trained_steps: steps of this process, not counting those before a resume.
        started: when it began to train, by `time.perf_counter`.
        sampler: the generator to sample from.
        notes: what works otherwise than asked for, in words.
        shown: the last means of losses, scores and penalties, with `images_per_second`.
    """

    def __init__(
        self,
        generator: Generator | str | dict[str, Any],
        discriminator: Discriminator | str | dict[str, Any],
        loss: Loss | str | dict[str, Any],
        regularizers: Sequence[Regularizer | str | dict[str, Any]] = (),
        augmentations: Sequence[Augmentation | str | dict[str, Any]] = (),
        data: dict[str, Any] | None = None,
        schedules: Mapping[str, Schedule] | None = None,
        *,
        image_size: ImageSize | None = None,
        channels: int | None = None,
        num_classes: int | None = None,
        latent_dim: int = 100,
        latent: Latent | str | dict[str, Any] = "normal",
        head: str | dict[str, Any] | None = None,
        d_steps: int = 1,
        accumulate: int = 1,
        own_batch_for_g: bool = False,
        optimizer: Literal["adam", "adamw", "rmsprop"] = "adam",
        lr_g: float = 2e-4,
        lr_d: float = 2e-4,
        betas: list[float] = (0.5, 0.999),  # type: ignore[assignment]
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        lr_decay: Literal["none", "linear", "cosine"] = "none",
        lr_decay_start: float = 0.0,
        ema_half_life: float | None = 10000.0,
        ema_beta: float | None = None,
        ema_rampup: float | None = 0.05,
        ema_start: int = 0,
        clip_grad_norm: float | None = None,
        compile: bool = False,
        cuda_graph: bool | None = None,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        at_least(1, "model.", d_steps=d_steps, accumulate=accumulate)
        at_least(0, "model.", eps=eps, weight_decay=weight_decay)
        above(0, "model.", lr_g=lr_g, lr_d=lr_d, ema_half_life=ema_half_life)
        above(0, "model.", clip_grad_norm=clip_grad_norm)
        if not 0 <= lr_decay_start < 1:
            raise ZooError(f"model.lr_decay_start={lr_decay_start} must be from 0 to below 1.")
        if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
            raise ZooError(f"model.betas={list(betas)} must be two numbers from 0 to below 1.")
        self.automatic_optimization = False
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
        for regularizer in in_force:
            regularizer.setup(generator, discriminator)
        self.schedules = dict(schedules or {})
        self.d_steps = d_steps
        self.accumulate = accumulate
        self.own_batch_for_g = own_batch_for_g
        self.optimizer_name = optimizer
        self.eps = eps
        self.weight_decay = weight_decay
        self._settings = []
        self._lazy: list[float] = []
        for side, lr in (("generator", lr_g), ("discriminator", lr_d)):
            every = 1 if optimizer == "rmsprop" else lazy_interval(in_force, side)
            self._lazy.append(every / (every + 1) if every > 1 else 1.0)
            settings = lazy_adam(lr, (float(betas[0]), float(betas[1])), every)
            self._settings.append(settings)
            if every > 1:
                self.notes.append(
                    f"a penalty of the {side} acts with every={every}, so that its Adam runs at "
                    f"lr={settings[0]:.4g}, betas={[round(b, 4) for b in settings[1]]} instead of "
                    f"lr={lr:.4g}, betas={list(betas)} (Karras et al., 2020)."
                )
        self.lr_decay = lr_decay
        self.lr_decay_start = lr_decay_start
        self.clip_grad_norm = clip_grad_norm
        self.compile_step = compile
        self.cuda_graph = cuda_graph
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        for network in (generator, discriminator):
            network.to(memory_format=self.memory_format)
        self.ema: EMA | None = None
        if ema_half_life is not None or ema_beta is not None:
            self.ema = EMA(
                generator,
                half_life=ema_half_life,
                beta=ema_beta,
                rampup=ema_rampup,
                start=ema_start,
            )
            self.ema_generator = self.ema.module
        self.images_seen = 0
        self.shown: dict[str, float] = {}
        self.run_description: dict[str, Any] = {}
        self.run_settings: dict[str, Any] = {}
        self.trained_steps = 0
        self.started = 0.0
        self._updates = 0
        self._window = Window(self._part_of)
        self._rng: dict[str, Any] | None = None
        self._rows: list[dict[str, float]] = []  # of the window, from a checkpoint
        self._clock = (0.0, 0)

    @property
    def sampler(self) -> Generator:
        """The averaged generator where there is one, else the trained one."""
        return self.ema_generator if self.ema is not None else self.generator  # type: ignore[return-value]

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latents (N, latent_dim) and labels (N,)."""
        return self.sampler(z, y)

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
        network = copy.deepcopy(self.sampler).eval()
        weights: Literal["ema", "raw"] = "ema" if self.ema is not None else "raw"
        return LoadedGenerator(network, self.describe(), weights, Path("this GAN"))

    # Training ------------------------------------------------------------------------------------

    @property
    def parts(self) -> int:
        """Batches of a step: one for each update of D, and G's own where it has one."""
        return self.d_steps + self.own_batch_for_g

    def setup(self, stage: str) -> None:
        if hasattr(self._datamodule, "d_steps"):  # one of the zoo's: it gives whole steps
            self._datamodule.d_steps = self.parts

    @property
    def _datamodule(self) -> Any:
        return getattr(self.trainer, "datamodule", None)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        made: list[torch.optim.Optimizer] = []
        networks = (self.generator, self.discriminator)
        for network, (lr, betas) in zip(networks, self._settings, strict=True):
            weights = [p for p in network.parameters() if p.requires_grad]
            if self.optimizer_name == "rmsprop":
                made.append(torch.optim.RMSprop(weights, lr=lr))
            else:
                decoupled = self.optimizer_name == "adamw"
                options = {"eps": self.eps, "weight_decay": self.weight_decay}
                made.append(adam(weights, lr, betas, decoupled=decoupled, **options))
        return made

    def on_train_start(self) -> None:
        super().on_train_start()
        trainer = self.trainer
        self._world_size = trainer.world_size
        check_strategy(trainer)
        if self._world_size > 1:
            # Noise of its own on every process, also after a resume from other processes' state.
            torch.manual_seed(torch.initial_seed() + 1000 * trainer.global_rank + self._updates)
        self._window = Window(self._part_of, self._world_size)
        self._window.restore(self._rows, self.device)
        self._log_every = min(max(1, trainer.log_every_n_steps), _LONGEST_WINDOW)  # type: ignore[attr-defined]
        self._conditional = bool(self.generator.num_classes or self.discriminator.num_classes)
        self._counts_images = hasattr(self._datamodule, "images_seen")
        self._reset_optimizers()
        if self.lr_decay != "none":
            self._total_steps = self._planned_steps()
        self._step = self._make_step()
        self.started = time.perf_counter()
        self._clock = (self.started, self.images_seen)

    def _make_step(self) -> AdversarialStep | GraphedStep:
        optimizer_g, optimizer_d = self.trainer.optimizers
        step = AdversarialStep(
            self.generator,
            self.discriminator,
            self.loss,
            optimizer_g,
            optimizer_d,
            regularizers=[*self.regularizers],  # type: ignore[list-item]
            augmentations=[*self.augmentations],  # type: ignore[list-item]
            ema=self.ema,
            schedules=self._make_schedules(),
            d_steps=self.d_steps,
            accumulate=self.accumulate,
            own_batch_for_g=self.own_batch_for_g,
            compile=self.compile_step,
            backend=LightningBackend(self),
        )
        if step.compile_note:
            self._say(f"model.compile=true: {step.compile_note}")
        in_the_way = obstacle(step)
        if self.cuda_graph and in_the_way:
            self._say(f"model.cuda_graph=true has no effect: {in_the_way}")
        automatic = self.cuda_graph is None and not self.compile_step
        if (self.cuda_graph or automatic) and not in_the_way:
            return GraphedStep(step, say=self._say)
        return step

    def _make_schedules(self) -> Schedules | None:
        if not self.schedules:
            return None
        regularizers = named([*self.regularizers])  # type: ignore[list-item]
        augmentations = {spec(a)["name"]: a for a in self.augmentations}
        return Schedules(
            self.schedules,
            self.trainer.optimizers,
            self._lazy,
            self.ema,
            {
                "loss": self.loss,
                **{f"regularizer.{name}": part for name, part in regularizers.items()},
                **{f"augmentation.{name}": part for name, part in augmentations.items()},
            },
            self.device,
        )

    def _say(self, note: str) -> None:
        if self.trainer.is_global_zero:
            print(f"note: {note}")

    def _reset_optimizers(self) -> None:
        """Settings of this run rather than those that a checkpoint brought along."""
        for optimizer, (lr, betas) in zip(self.trainer.optimizers, self._settings, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = lr
                if "capturable" in group:  # as in a checkpoint of a captured step
                    group["capturable"] = False
                if "betas" in group:
                    group["betas"] = betas

    def _planned_steps(self) -> float:
        total = self.trainer.estimated_stepping_batches
        if not math.isfinite(total):
            raise ZooError(
                f"model.lr_decay={self.lr_decay} needs an end: set trainer.max_epochs, "
                "trainer.max_steps or trainer.max_images."
            )
        return total

    def _set_learning_rates(self) -> None:
        done = min(1.0, self._updates / self._total_steps)
        share = max(0.0, (done - self.lr_decay_start) / (1 - self.lr_decay_start))
        factor = 1 - share if self.lr_decay == "linear" else 0.5 * (1 + math.cos(math.pi * share))
        for optimizer, (lr, _) in zip(self.trainer.optimizers, self._settings, strict=True):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # a captured optimizer reads it from the device
                    group["lr"].fill_(lr * factor)
                else:
                    group["lr"] = lr * factor

    def training_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> None:
        images, labels = (batch, None) if isinstance(batch, Tensor) else (batch[0], batch[-1])
        if self._rng is not None:
            self._restore_rng()
        if self.lr_decay != "none":
            self._set_learning_rates()
        if not self.trained_steps:
            self._look_at(images, labels)
        if images.dtype == torch.uint8:
            images = to_float(images)
        images = images.to(self.dtype).contiguous(memory_format=self.memory_format)
        labels = labels if self._conditional else None
        values = self._step(images, labels, self._updates, self.images_seen)
        self._window.add(values)
        updates = self._updates = self._updates + 1
        self.trained_steps += 1
        shown = len(images) * self._world_size
        parts = self.parts
        seen = self.images_seen = self.images_seen + shown * self.d_steps // parts
        if self._counts_images:
            self._datamodule.images_seen = seen * parts // self.d_steps
        # The end of an epoch has a row of its own, before a checkpoint may be written there.
        if updates % self._log_every == 0 or self.trainer.is_last_batch:
            self._log_window()

    def _look_at(self, images: Tensor, labels: Tensor | None) -> None:
        g = self.generator
        classes = g.num_classes or self.discriminator.num_classes
        note = check_batch(images, labels, g.channels, (g.height, g.width), classes)
        if note:
            self._say(note)

    def on_train_epoch_end(self) -> None:
        self._log_window()

    def _log_window(self) -> None:
        """Show the means since the last time; the one place where the host waits for the device.

        Straight to the loggers: `self.log` would cost more than a small step, on every step.
        """
        values = self.check_finite()
        if not values:
            return
        whole = len(self._window) >= self._log_every
        self._window.clear()
        (then, before), now = self._clock, time.perf_counter()
        self._clock = (now, self.images_seen)
        values["images_per_second"] = (self.images_seen - before) / max(now - then, 1e-9)
        if whole or not self.shown:  # means over a few steps would say something else than the bar
            self.shown = values
        trainer = self.trainer
        trainer.callback_metrics.update({k: torch.tensor(v) for k, v in values.items()})
        row = {**values, "images_seen": self.images_seen, "epoch": trainer.current_epoch}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=self._updates)
            logger.save()

    def check_finite(self) -> dict[str, float]:
        """Means of all values since they were last logged; empty where there are none.

        Raises:
            NonFiniteError: one of them is NaN or infinite; the sentence names it and its step.
        """
        return self._window.means(self._updates)

    def _part_of(self, value: str) -> str:
        if value in ("loss_g", "score_fake"):
            side = "generator"
        elif value in ("loss_d", "score_real"):
            side = "discriminator"
        else:
            return f"regularizer {value!r}"
        name, loss = spec(getattr(self, side))["name"], spec(self.loss)["name"]
        return f"{side} {name!r} under loss {loss!r}"

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Under fp16 the gradients are unscaled only now, so that clipping belongs here.
        if self.clip_grad_norm is not None:
            weights = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.clip_grad_norm)

    # Checkpoints ---------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        rng: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            rng["cuda"] = torch.cuda.get_rng_state(self.device)
        processes, windows = [rng], [self._window.rows()]
        if self.trainer.world_size > 1:
            average_buffers(self)
            processes, windows = gather_objects(rng), gather_objects(windows[0])
        checkpoint["zoo"] = self.describe()
        checkpoint["rng"] = processes
        checkpoint["window"] = windows
        if self.run_settings:
            checkpoint["settings"] = self.run_settings

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
            "ema": self.ema is not None,
            "images_seen": self.images_seen,
            "step": self._updates,
            "logged_step": self._updates - len(self._window),
            **self.run_description,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen = checkpoint["zoo"]["images_seen"]
        self._updates = checkpoint["zoo"]["step"]
        processes = checkpoint.get("rng") or []
        if len(processes) == self.trainer.world_size:
            self._rng = processes[self.trainer.global_rank]
        windows = checkpoint.get("window") or []
        if len(windows) == self.trainer.world_size:
            self._rows = windows[self.trainer.global_rank]
        self._match_average(checkpoint["state_dict"])

    def _match_average(self, state: dict[str, Tensor]) -> None:
        """Let a checkpoint with an average go on without one, and the other way round."""
        average, weights = "ema_generator.", "generator."
        there = [key for key in state if key.startswith(average)]
        if there and self.ema is None:
            for key in there:
                del state[key]
            self._say("the averaged weights of the checkpoint are dropped, as the settings ask for")
        elif self.ema is not None and not there:
            own = {k.removeprefix(weights): v for k, v in state.items() if k.startswith(weights)}
            state.update({average + key: value for key, value in own.items()})
            self._say("the checkpoint has no averaged weights: the average starts at its weights")

    def _restore_rng(self) -> None:
        """At the first batch, since Lightning draws random numbers of its own before it."""
        assert self._rng is not None
        torch.set_rng_state(self._rng["cpu"].cpu())
        if "cuda" in self._rng and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._rng["cuda"].cpu(), self.device)
        self._rng = None
