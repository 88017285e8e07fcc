"""The Lightning hooks of GAN training: optimizers, the training step, logging and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.loss import Loss
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.schedule import Schedule
from zoo.core.distributed import average_buffers, gather_objects
from zoo.core.errors import ZooError
from zoo.core.torch_internals import NEEDS_TWO
from zoo.data.checks import check_batch
from zoo.data.pixels import to_float
from zoo.registry.spec import spec
from zoo.training.batches import check_pieces, pair, slices_of_step, too_small
from zoo.training.cuda_graph import GraphedStep, obstacle
from zoo.training.ema import EMA
from zoo.training.learning_rates import LearningRates
from zoo.training.lightning import LeanModule, LightningBackend, check_strategy
from zoo.training.optimizers import maker
from zoo.training.passes import packs_of
from zoo.training.resuming import (
    check_optimizers,
    check_random_state,
    check_state,
    match_average,
    random_state,
    restore_random_state,
)
from zoo.training.schedules import Schedules
from zoo.training.start import keep_average
from zoo.training.step import AdversarialStep
from zoo.training.terms import LOGGED, metric_name, named, own_losses
from zoo.training.window import Window

_LONGEST_WINDOW = 1000
"""Steps after which values are read from the device in any case, to bound the memory they take."""
_NETWORKS = ("generator", "discriminator")


class TrainingModule(LeanModule):
    """Trains the networks with the options that a subclass (`GAN`) sets.

    Attributes:
        images_seen: The number of real images that D was trained on, over all processes.
        images_before: The value of `images_seen` when this process started or resumed training.
        trained_steps: The number of steps that this process has trained.
        started: When this process started training, by `time.perf_counter`.
        shown: The latest means of losses, scores and penalties, and `images_per_second`.
        origin: A description of the training that the initial weights come from; None if they are
            random.
        run_description, run_settings: The description and settings of the run, which are stored in
            its checkpoints.
    """

    generator: Generator
    discriminator: Discriminator
    loss: Loss
    regularizers: nn.ModuleList
    augmentations: nn.ModuleList
    ema: EMA | None
    schedules: dict[str, Schedule]
    rates: LearningRates
    lr_factor: float
    d_steps: int
    accumulate: int
    own_batch_for_g: bool
    optimizer_name: str
    eps: float
    weight_decay: float
    clip_grad_norm: float | None
    compile_step: bool
    cuda_graph: bool | None
    memory_format: torch.memory_format

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.images_seen = 0
        self.images_before = 0
        self.trained_steps = 0
        self.started = 0.0
        self.shown: dict[str, float] = {}
        self.origin: dict[str, Any] | None = None
        self.run_description: dict[str, Any] = {}
        self.run_settings: dict[str, Any] = {}
        self._updates = 0
        self._window = Window(self._part_of)
        self._rng: dict[str, Any] | None = None  # to restore at the next batch
        self._rows: list[dict[str, float]] = []  # the window's values, from a checkpoint
        self._stored_optimizers: int | None = None  # how many optimizer states a checkpoint has
        self._clock = (0.0, 0)
        self._shown_at = -1  # the last step, if its values were both logged and kept

    def describe(self) -> dict[str, Any]:
        """Return the description of the model that its checkpoints store."""
        raise NotImplementedError

    @property
    def batches_per_step(self) -> int:
        """The number of batches per step: one per update of D, and G's own if it has one."""
        return slices_of_step(self.d_steps, self.own_batch_for_g)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = self._datamodule
        if hasattr(data, "d_steps"):  # a data module of the zoo, which yields whole steps
            data.d_steps = self.batches_per_step
            packs = packs_of([*self.regularizers])  # type: ignore[list-item]
            check_pieces(data.batch_size // self.trainer.world_size, self.accumulate, packs)

    @property
    def _datamodule(self) -> Any:
        return getattr(self.trainer, "datamodule", None)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        scheduled = not {"beta1", "beta2"}.isdisjoint(self.schedules)
        betas_change = scheduled and self.cuda_graph is not False
        make = maker(self.optimizer_name, self.device, betas_change)
        networks = (self.generator, self.discriminator)
        return [
            make(
                [p for p in network.parameters() if p.requires_grad],
                lr,
                betas,
                self.eps,
                self.weight_decay,
            )
            for network, (lr, betas) in zip(networks, self.rates.settings, strict=True)
        ]

    def on_train_start(self) -> None:
        super().on_train_start()
        trainer = self.trainer
        self._world_size = trainer.world_size
        check_strategy(trainer)
        if self._stored_optimizers is not None:
            check_optimizers(trainer.optimizers, self._stored_optimizers)
            self._stored_optimizers = None
        if self._world_size > 1:
            # Every process draws noise of its own, even after resuming with the state of another.
            torch.manual_seed(torch.initial_seed() + 1000 * trainer.global_rank + self._updates)
        self._window = Window(self._part_of, self._world_size)
        self._window.restore(self._rows, self.device)
        self._log_every = min(max(1, trainer.log_every_n_steps), _LONGEST_WINDOW)  # type: ignore[attr-defined]
        self._conditional = bool(self.generator.num_classes or self.discriminator.num_classes)
        self._counts_images = hasattr(self._datamodule, "images_seen")
        if self.ema is not None:
            self.ema.bind(self.generator)
        if not self._updates:
            for regularizer in self.regularizers:
                regularizer.begin()  # type: ignore[operator]
        self.rates.reset(trainer.optimizers)
        if self.rates.decay != "none":
            self._total_steps = self._planned_steps()
        self._step = self._make_step()
        self.started = time.perf_counter()
        self.images_before = self.images_seen
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

    def discriminate(self, images: Tensor, labels: Tensor | None) -> DiscriminatorOutput:
        """Return the output of D for images (N, C, H, W), in packs if D sees packs.

        It is what the loss would receive for them, but without augmentation.
        """
        step = self._step.step if isinstance(self._step, GraphedStep) else self._step
        return step.passes.discriminate(images, labels, augmented=False)

    def figures(self) -> set[str] | None:
        """Return the names of all metrics logged; None if a part does not declare its losses."""
        auxiliary = own_losses(self.generator, self.discriminator)
        if auxiliary is None:
            return None
        penalties = named([*self.regularizers])  # type: ignore[type-var]
        both = {metric_name(name, "generator") for name in penalties}
        return {*LOGGED, *auxiliary, *penalties, *both}

    def _make_schedules(self) -> Schedules | None:
        if not self.schedules:
            return None
        return Schedules(
            self.schedules,
            self.trainer.optimizers,
            self.rates.lazy,
            self.ema,
            self.schedulable_parts(),
            self.device,
            self.lr_factor,
        )

    def schedulable_parts(self) -> dict[str, Any]:
        """Return the parts that may have schedulable options, by the prefix of a target's name."""
        regularizers = named([*self.regularizers])  # type: ignore[type-var]
        augmentations = named([*self.augmentations])  # type: ignore[type-var]
        return {
            "loss": self.loss,
            **{f"regularizer.{name}": part for name, part in regularizers.items()},
            **{f"augmentation.{name}": part for name, part in augmentations.items()},
        }

    def _say(self, note: str) -> None:
        if self.trainer.is_global_zero:
            print(f"note: {note}")

    def _planned_steps(self) -> float:
        total = self.trainer.estimated_stepping_batches
        if not math.isfinite(total):
            raise ZooError(
                f"model.lr_decay={self.rates.decay} needs a training of known length: set "
                "trainer.max_epochs, trainer.max_steps or trainer.max_images."
            )
        return total

    def training_step(self, batch: Tensor | Sequence[Tensor], batch_idx: int) -> None:
        images, labels = pair(batch)
        if self._rng is not None:
            # Not before the first batch, until which Lightning draws random numbers itself.
            restore_random_state(self._rng, self.device)
            self._rng = None
        if self.rates.decay != "none":
            self.rates.set_progress(self.trainer.optimizers, self._updates / self._total_steps)
        if not self.trained_steps:
            note = self._check_batch(images, labels, "the first batch")
            if note:
                self._say(note)
        if images.dtype == torch.uint8:
            images = to_float(images)
        images = images.to(self.dtype).contiguous(memory_format=self.memory_format)
        labels = labels if self._conditional else None
        try:
            values = self._step(images, labels, self._updates, self.images_seen)
        except (IndexError, RuntimeError, ValueError) as error:
            if NEEDS_TWO in str(error):
                raise too_small(len(images), self.accumulate) from error
            if self.device.type == "cpu":  # a GPU cannot be asked any more
                place = f"batch {batch_idx + 1} of epoch {self.current_epoch + 1}"
                self._check_batch(*pair(batch), place)
            raise
        self._window.add(values)
        updates = self._updates = self._updates + 1
        self.trained_steps += 1
        images_in_step = len(images) * self._world_size
        batches = self.batches_per_step
        seen = self.images_seen = self.images_seen + images_in_step * self.d_steps // batches
        if self._counts_images:
            self._datamodule.images_seen = seen * batches // self.d_steps
        # The end of an epoch gets a row of its own, before a checkpoint may be written there. So
        # does the last step; its values are kept, so that a longer training can continue with them.
        due = updates % self._log_every == 0 or self.trainer.is_last_batch
        if due or updates == self.trainer.max_steps:
            self._log_window(keep=not due)

    def _check_batch(self, images: Tensor, labels: Tensor | None, called: str) -> str | None:
        g = self.generator
        classes = g.num_classes or self.discriminator.num_classes
        return check_batch(images, labels, g.channels, (g.height, g.width), classes, called)

    def on_train_epoch_end(self) -> None:
        self._log_window()
        # Restored at the next batch, so that what a loader draws in between has no effect, just as
        # in a training that resumes from here.
        self._rng = {"cpu": torch.get_rng_state()}

    def _log_window(self, keep: bool = False) -> None:
        """Log the means since the last call; the only place where the host waits for the device.

        They go directly to the loggers: calling `self.log` in every step would take longer than a
        small step itself.

        Args:
            keep: Whether to keep the values for a checkpoint that follows.
        """
        if self._shown_at == self._updates:  # logged already, and kept
            self._window.clear()
            return
        values = self.check_finite()
        if not values:
            return
        whole = len(self._window) >= self._log_every
        if keep:
            self._shown_at = self._updates
        else:
            self._window.clear()
        (then, before), now = self._clock, time.perf_counter()
        self._clock = (now, self.images_seen)
        values["images_per_second"] = (self.images_seen - before) / max(now - then, 1e-9)
        if whole or not self.shown:  # means over fewer steps are not comparable
            self.shown = values
        trainer = self.trainer
        trainer.callback_metrics.update({k: torch.tensor(v) for k, v in values.items()})
        row = {**values, "images_seen": self.images_seen, "epoch": trainer.current_epoch}
        for logger in trainer.loggers:
            logger.log_metrics(row, step=self._updates)
            logger.save()

    def check_finite(self) -> dict[str, float]:
        """Return the means of all values since they were last logged; empty if there are none.

        Raises:
            NonFiniteError: A value is NaN or infinite; the message names it and its step.
        """
        return self._window.means(self._updates)

    def _part_of(self, value: str) -> str:
        """Describe the part that a logged value belongs to, for an error message."""
        penalties = named([*self.regularizers])  # type: ignore[type-var]
        for name in (value, value.removesuffix("_g")):
            if name in penalties:
                return f"regularizer {name!r}"
        if value in ("loss_g", "score_fake"):
            side = "generator"
        elif value in ("loss_d", "score_real"):
            side = "discriminator"
        else:
            networks = [f"{kind} {spec(getattr(self, kind))['name']!r}" for kind in _NETWORKS]
            return f"the auxiliary losses of {' and '.join(networks)}"
        name, loss = spec(getattr(self, side))["name"], spec(self.loss)["name"]
        return f"{side} {name!r} under loss {loss!r}"

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Clip here, since under fp16 the gradients have only just been unscaled.
        if self.clip_grad_norm is not None:
            weights = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(weights, self.clip_grad_norm)

    # Checkpoints ---------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        rng = random_state(self.device)
        processes, windows = [rng], [self._window.rows()]
        if self.trainer.world_size > 1:
            average_buffers(self)
            processes, windows = gather_objects(rng), gather_objects(windows[0])
        checkpoint["zoo"] = self.describe()
        checkpoint["rng"] = processes
        checkpoint["window"] = windows
        if self.run_settings:
            checkpoint["settings"] = self.run_settings

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        check_state(checkpoint)
        if "optimizer_states" in checkpoint:
            self._stored_optimizers = len(checkpoint["optimizer_states"])
        self.images_seen = checkpoint["zoo"]["images_seen"]
        self._updates = checkpoint["zoo"]["step"]
        self.origin = checkpoint["zoo"].get("start")
        keep_average(self.ema, self.origin)
        if self.ema is not None:
            self.ema.averaged = checkpoint["zoo"].get("averaged", 0)
        processes = checkpoint.get("rng") or []
        if len(processes) == self.trainer.world_size:
            self._rng = processes[self.trainer.global_rank]
            check_random_state(self._rng)
        windows = checkpoint.get("window") or []
        if len(windows) == self.trainer.world_size:
            self._rows = windows[self.trainer.global_rank]
        note = match_average(checkpoint["state_dict"], averages=self.ema is not None)
        if note:
            self._say(note)
