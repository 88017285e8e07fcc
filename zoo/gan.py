"""The one LightningModule of the zoo: the adversarial step for every combination of parts."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from zoo import __version__, compatibility
from zoo.base import Augmentation, Discriminator, Generator, Loss, Regularizer
from zoo.data.pixels import to_float
from zoo.distributed import average_buffers, average_gradients
from zoo.ema import EMA
from zoo.errors import ZooError
from zoo.optimizers import adam
from zoo.registry import spec_of
from zoo.step import AdversarialStep, Backend

FORMAT = 1
"""Of the description under the key `zoo` of a checkpoint."""


class GAN(pl.LightningModule):
    """Trains a generator against a discriminator under a loss, regularizers and augmentations.

    One `training_step` is `d_steps` updates of D, each on a batch of its own, and one update of G;
    `trainer.global_step` counts updates of G, `images_seen` real images over all processes.

    Args:
        generator, discriminator, loss, regularizers, augmentations: parts, made by `zoo.create`
            where the checkpoint is to describe itself.
        data: `name`, `image_size`, `channels`, `num_classes`, `class_names` of the data set, kept
            in the checkpoint for sampling.
        d_steps: updates of D per update of G.
        optimizer: `adam`, or `rmsprop` as in Arjovsky et al. (2017).
        lr_g, lr_d: learning rates (two time scales: Heusel et al., 2017, arXiv:1706.08500).
        betas: decays of Adam's moments.
        lr_decay: `linear` and `cosine` go to 0 over the whole training, from `lr_decay_start` on.
        lr_decay_start: share of the training after which the decay starts, in [0, 1).
        ema_half_life: of the averaged generator, in images; null for no average.
        ema_beta: a fixed decay per update instead of the half-life.
        clip_grad_norm: largest norm of each network's gradient; null for no clipping.
        compile: `torch.compile` the updates where a double backward pass does not forbid it.
        cuda_graph: capture the whole step as a CUDA graph; null does so where it is safe.
        channels_last: memory format of convolutions; null takes it, as it is measured faster.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: Loss,
        regularizers: Sequence[Regularizer] = (),
        augmentations: Sequence[Augmentation] = (),
        data: dict[str, Any] | None = None,
        *,
        d_steps: int = 1,
        optimizer: Literal["adam", "rmsprop"] = "adam",
        lr_g: float = 2e-4,
        lr_d: float = 2e-4,
        betas: list[float] = (0.5, 0.999),  # type: ignore[assignment]
        lr_decay: Literal["none", "linear", "cosine"] = "none",
        lr_decay_start: float = 0.0,
        ema_half_life: float | None = 10000.0,
        ema_beta: float | None = None,
        clip_grad_norm: float | None = None,
        compile: bool = False,
        cuda_graph: bool | None = None,
        channels_last: bool | None = None,
    ) -> None:
        super().__init__()
        _check_positive(d_steps=d_steps, lr_g=lr_g, lr_d=lr_d, clip_grad_norm=clip_grad_norm)
        if not 0 <= lr_decay_start < 1:
            raise ZooError(f"model.lr_decay_start={lr_decay_start} must be from 0 to below 1.")
        if len(betas) != 2 or not all(0 <= b < 1 for b in betas):
            raise ZooError(f"model.betas={list(betas)} must be two numbers from 0 to below 1.")
        self.automatic_optimization = False
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.regularizers = nn.ModuleList([*loss.regularizers(), *regularizers])
        self._given = list(regularizers)  # without those of the loss, which brings them itself
        self.augmentations = nn.ModuleList(augmentations)
        self.notes = compatibility.check(
            generator, discriminator, loss, list(self.regularizers), compile=compile
        )
        self.data = data or {}
        self.d_steps = d_steps
        self.optimizer_name = optimizer
        self.lr = (lr_g, lr_d)
        self.betas = tuple(betas)
        self.lr_decay = lr_decay
        self.lr_decay_start = lr_decay_start
        self.clip_grad_norm = clip_grad_norm
        self.compile_step = compile
        self.cuda_graph = cuda_graph
        self.memory_format = (
            torch.contiguous_format if channels_last is False else torch.channels_last
        )
        for network in (generator, discriminator):
            network.to(memory_format=self.memory_format)
        self.ema: EMA | None = None
        if ema_half_life is not None or ema_beta is not None:
            self.ema = EMA(generator, half_life=ema_half_life or 1.0, beta=ema_beta)
            self.ema_generator = self.ema.module
        self.images_seen = 0
        self.run_description: dict[str, Any] = {}
        self._updates = 0
        self._window: list[dict[str, Tensor]] = []
        self._rng: dict[str, Tensor] | None = None
        self._clock = (0.0, 0)

    @property
    def sampler(self) -> Generator:
        """The generator to sample from: the averaged one where there is one."""
        return self.ema_generator if self.ema is not None else self.generator  # type: ignore[return-value]

    # Training ------------------------------------------------------------------------------------

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        made = []
        for network, lr in zip((self.generator, self.discriminator), self.lr, strict=True):
            weights = [p for p in network.parameters() if p.requires_grad]
            if self.optimizer_name == "adam":
                made.append(adam(weights, lr, self.betas))  # type: ignore[arg-type]
            else:
                made.append(torch.optim.RMSprop(weights, lr=lr))
        return made

    def on_train_start(self) -> None:
        optimizers = self.optimizers()
        assert isinstance(optimizers, list)
        raw_g, raw_d = self.trainer.optimizers
        if self.trainer.world_size > 1:
            # DDP would wait for gradients of both networks in every backward pass; the step
            # averages those of the updated network itself (zoo.distributed).
            if hasattr(self.trainer.model, "require_backward_grad_sync"):
                self.trainer.model.require_backward_grad_sync = False  # type: ignore[union-attr]
            torch.manual_seed(torch.initial_seed() + 1000 * self.trainer.global_rank)
        self._step = AdversarialStep(
            self.generator,
            self.discriminator,
            self.loss,
            raw_g,
            raw_d,
            regularizers=[*self.regularizers],  # type: ignore[list-item]
            augmentations=[*self.augmentations],  # type: ignore[list-item]
            ema=self.ema,
            d_steps=self.d_steps,
            backend=_LightningBackend(self, optimizers[0]),
            compile=self.compile_step,
        )
        self._total_steps = self._planned_steps()
        self._clock = (time.perf_counter(), self.images_seen)

    def _planned_steps(self) -> float:
        total = self.trainer.estimated_stepping_batches
        if self.lr_decay != "none" and not math.isfinite(total):
            raise ZooError(
                f"model.lr_decay={self.lr_decay} needs an end: set trainer.max_epochs or "
                "trainer.max_steps."
            )
        return total

    def _set_learning_rates(self) -> None:
        done = self._updates / self._total_steps
        share = max(0.0, (done - self.lr_decay_start) / (1 - self.lr_decay_start))
        factor = 1 - share if self.lr_decay == "linear" else 0.5 * (1 + math.cos(math.pi * share))
        for optimizer, lr in zip(self.trainer.optimizers, self.lr, strict=True):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # a captured optimizer reads it from the device
                    group["lr"].fill_(lr * factor)
                else:
                    group["lr"] = lr * factor

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        if self._rng is not None:
            self._restore_rng()
        if self.lr_decay != "none":
            self._set_learning_rates()
        real = to_float(images).contiguous(memory_format=self.memory_format)
        conditional = self.generator.num_classes or self.discriminator.num_classes
        values = self._step(real, labels if conditional else None, self._updates)
        self._updates += 1
        self.images_seen += len(images) * self.trainer.world_size
        self.trainer.datamodule.images_seen = self.images_seen  # type: ignore[attr-defined]
        self._window.append(values)
        every = self.trainer.log_every_n_steps
        if self._updates % every == 0 or self.trainer.is_last_batch:
            self._log_window()

    def _log_window(self) -> None:
        """Log the means since the last time; the one place where the host waits for the device."""
        means = self.check_finite()
        if means is None:
            return
        self._window.clear()
        now, images = time.perf_counter(), self.images_seen
        then, before = self._clock
        self._clock = (now, images)
        values = {**means, "images_per_second": (images - before) / max(now - then, 1e-9)}
        shown = ("loss_d", "loss_g", "images_per_second")
        for name, value in values.items():
            self.log(name, value, prog_bar=name in shown, batch_size=1)
        self.log("images_seen", float(images), batch_size=1)

    def check_finite(self) -> dict[str, float] | None:
        """Means of all values since they were last logged, None where there were none.

        Raises:
            ZooError: one of them is NaN or infinite; the sentence names it and its step.
        """
        if not self._window:
            return None
        names = [name for row in self._window for name in row]
        flat = torch.stack([v.float() for row in self._window for v in row.values()]).tolist()
        steps = [
            self._updates - len(self._window) + 1 + i
            for i, row in enumerate(self._window)
            for _ in row
        ]
        totals: dict[str, list[float]] = {}
        for name, value, step in zip(names, flat, steps, strict=True):
            if not math.isfinite(value):
                raise NonFiniteError(
                    f"training stopped at step {step}: {name} of {self._part_of(name)} is {value}. "
                    "Weights from before are in the last checkpoint; try a lower model.lr_d and "
                    "model.lr_g, model.clip_grad_norm=1, or model/regularizer=r1."
                )
            totals.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in totals.items()}

    def _part_of(self, value: str) -> str:
        loss = (spec_of(self.loss) or {"name": type(self.loss).__name__})["name"]
        sides = {"loss_g": "generator", "score_fake": "generator"}
        if value in ("loss_d", "score_real", *sides):
            part = getattr(self, sides.get(value, "discriminator"))
            name = (spec_of(part) or {"name": type(part).__name__})["name"]
            return f"{sides.get(value, 'discriminator')} {name!r} under loss {loss!r}"
        return f"regularizer {value!r}"

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Under fp16 the gradients are unscaled only now, so that clipping belongs here.
        if self.clip_grad_norm is not None:
            weights = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.clip_grad_norm)

    # Checkpoints ---------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.trainer.world_size > 1:
            average_buffers(self)
        checkpoint["zoo"] = self.describe()
        checkpoint["rng"] = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            checkpoint["rng"]["cuda"] = torch.cuda.get_rng_state(self.device)

    def describe(self) -> dict[str, Any]:
        """All that rebuilds the networks without config files or data set, as plain values."""
        discriminator = _spec(self.discriminator)
        head = discriminator["options"].pop("head", None)
        return {
            "format": FORMAT,
            "version": __version__,
            "generator": _spec(self.generator),
            "discriminator": {**discriminator, "head": head},
            "loss": _spec(self.loss),
            "regularizers": [_spec(r) for r in self._given],
            "augmentations": [_spec(a) for a in self.augmentations],
            "data": self.data,
            "ema": self.ema is not None,
            "images_seen": self.images_seen,
            "step": self._updates,
            **self.run_description,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.images_seen = checkpoint["zoo"]["images_seen"]
        self._updates = checkpoint["zoo"]["step"]
        self._rng = checkpoint.get("rng")

    def _restore_rng(self) -> None:
        """At the first batch, since Lightning draws random numbers of its own before it."""
        assert self._rng is not None
        torch.set_rng_state(self._rng["cpu"].cpu())
        if "cuda" in self._rng and self.device.type == "cuda":
            torch.cuda.set_rng_state(self._rng["cuda"].cpu(), self.device)
        self._rng = None


class NonFiniteError(ZooError):
    """A loss or penalty became NaN or infinite."""


class _LightningBackend(Backend):
    """Backward passes and optimizer steps through Lightning's precision, counting updates of G.

    Lightning counts every step of its wrapped optimizers as a global step. Only G's goes through
    the wrapper; D's goes to the strategy, or, where no gradient scaler is at work, straight to the
    optimizer, which saves a millisecond a step.
    """

    def __init__(self, module: GAN, optimizer_g: Any) -> None:
        self.module = module
        self.optimizer_g = optimizer_g
        self.scaled = getattr(module.trainer.precision_plugin, "scaler", None) is not None
        self.world_size = module.trainer.world_size

    def backward(self, loss: Tensor) -> None:
        if self.scaled:
            self.module.manual_backward(loss)
        else:
            loss.backward()

    def sync_gradients(self, network: nn.Module) -> None:
        if self.world_size > 1:
            average_gradients(network)

    def optimize(self, optimizer: torch.optim.Optimizer, network: nn.Module) -> None:
        if network is self.module.generator:
            self.optimizer_g.step()
        elif self.scaled:
            self.module.trainer.strategy.optimizer_step(optimizer, lambda: None)
        else:
            self.module.on_before_optimizer_step(optimizer)
            optimizer.step()


def _spec(part: Any) -> dict[str, Any]:
    spec = spec_of(part)
    if spec is None:
        raise ZooError(
            f"{type(part).__name__} was not made by zoo.create, so that a checkpoint could not "
            "rebuild it: register it and use zoo.create."
        )
    return {"name": spec["name"], "options": dict(spec["options"])}


def _check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ZooError(f"model.{name}={value} must be above 0.")
