"""Settings scheduled over the images seen: `model.schedules={lr_g: {name: cosine, …}}`.

Values are computed on the CPU before each step and written into 0-dim tensors, from which a step
captured as a CUDA graph reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import torch

from zoo.contracts.schedule import Schedule
from zoo.core.errors import ZooError, at_least, below, listing, suggest
from zoo.registry import create, list_parts
from zoo.registry.signature import check_inside, from_callable
from zoo.training.device_adam import DeviceAdam
from zoo.training.ema import EMA
from zoo.training.optimizers import set_learning_rate

Write = Callable[[float], object]
_BETA = Annotated[float, at_least(0), below(1)]
_NOT_NEGATIVE = Annotated[float, at_least(0)]
OWN = {
    "lr_g": _NOT_NEGATIVE,
    "lr_d": _NOT_NEGATIVE,
    "beta1": _BETA,
    "beta2": _BETA,
    "ema_half_life": _NOT_NEGATIVE,
}
"""The settings of the training itself that can be scheduled, and their types."""
_LATE = 10**15
"""A number of images at which every schedule has reached its final value."""


def schedules_of(node: Mapping[Any, Any], prefix: str = "") -> dict[str, Schedule]:
    """Return the schedules of a config node, or of an argument of `GAN`, by target.

    Args:
        node: `{lr_g: {name: cosine, start: 2e-4, …}, regularizer: {r1: {gamma: {…}}}}`, or with
            dotted keys: `{regularizer.r1.gamma: {…}}`; a schedule may be an object.
        prefix: A prefix of the targets; used in the recursion.

    Raises:
        ZooError: An entry is not a schedule, or has an unknown name or option.
    """
    by_target: dict[str, Schedule] = {}
    for key, value in node.items():
        target = f"{prefix}{key}"
        if value is None:
            continue
        if isinstance(value, Schedule):
            by_target[target] = value
            continue
        if not isinstance(value, Mapping):
            raise ZooError(
                f"model.schedules: {target}={value} is not a schedule; give, for instance, "
                f"{{name: cosine, start: 2e-4, end: 5e-5, images: 1000000}}; the names are "
                f"{listing(list_parts('schedule'))}."
            )
        if isinstance(value.get("name"), str):
            options = {str(k): v for k, v in value.items() if k != "name"}
            try:
                by_target[target] = create("schedule", value["name"], **options)
            except ZooError as error:
                raise ZooError(f"model.schedules: {target}: {error}") from error
        else:
            by_target |= schedules_of(value, f"{target}.")
    return by_target


class Schedules:
    """Applies schedules to the settings that they control.

    Args:
        schedules: The schedules by target: `lr_g`, `lr_d`, `beta1`, `beta2`, `ema_half_life`, or an
            option that a part lists in `schedulable`, such as `regularizer.r1.gamma`,
            `augmentation.ada.p` or `loss.margin`.
        optimizers: The optimizers of G and of D; `beta1` and `beta2` apply to both.
        lazy: For G and D, the factor k / (k + 1) by which a lazy penalty with `every=k` corrects
            the optimizer's settings; 1 without one (Karras et al., 2020, arXiv:1912.04958).
        ema: The moving average of the generator's weights; None for no average.
        parts: The parts with schedulable options, by the name that precedes the option in a target:
            `loss`, `regularizer.NAME`, `augmentation.NAME`.
        device: The device of the tensors that hold scheduled values.
        lr_factor: A factor that multiplies both learning rates.

    Attributes:
        obstacle: A clause that says why a step with these schedules cannot be captured in a CUDA
            graph; empty if it can.

    Raises:
        ZooError: There is no such target, its part does not allow it to be scheduled or adapts it
            by itself, or the first or last value of a schedule is outside the option's range.
    """

    def __init__(
        self,
        schedules: Mapping[str, Schedule],
        optimizers: Sequence[torch.optim.Optimizer],
        lazy: Sequence[float] = (1.0, 1.0),
        ema: EMA | None = None,
        parts: Mapping[str, Any] | None = None,
        device: torch.device | None = None,
        lr_factor: float = 1.0,
    ) -> None:
        self.obstacle = ""
        self._optimizers = tuple(optimizers)
        self._lazy = tuple(lazy)
        self._ema = ema
        self._parts = dict(parts or {})
        self._device = device
        self._lr_factor = lr_factor
        self._writes = [(schedule, self._place(name)) for name, schedule in schedules.items()]
        for name, schedule in schedules.items():
            kind = self._kind(name)
            for images in (0, schedule.warm_up, _LATE):
                check_inside(schedule(images), kind, f"model.schedules: {name}")

    def prepare(self, images_seen: int) -> None:
        """Write the values for the step that follows after `images_seen` real images."""
        for schedule, write in self._writes:
            write(schedule(images_seen))

    def _place(self, target: str) -> Write:
        """Return the function that writes a value to `target`."""
        if target in ("lr_g", "lr_d"):
            which = ("lr_g", "lr_d").index(target)
            return lambda value: self._set_lr(which, value)
        if target in ("beta1", "beta2"):
            return self._beta(target)
        if target == "ema_half_life":
            return self._half_life()
        owner, _, option = target.rpartition(".")
        part = self._parts.get(owner)
        if part is None:
            raise ZooError(self._unknown(target))
        if option not in part.schedulable:
            raise ZooError(
                f"model.schedules: {target} cannot be scheduled; the options of {owner} that can "
                f"are: {listing(part.schedulable)}."
            )
        stop = getattr(part, "moves", {}).get(option)
        if stop is not None:
            raise ZooError(
                f"model.schedules: {owner} adapts {option} by itself, so it cannot be scheduled as "
                f"well: set model.{owner}.{stop}, or leave the schedule out."
            )
        value = torch.zeros((), device=self._device)
        setattr(part, option, value)
        return value.fill_

    def _kind(self, target: str) -> Any:
        """Return the annotated type of the option that is scheduled."""
        if target in OWN:
            return OWN[target]
        owner, _, option = target.rpartition(".")
        return next(
            (p.type for p in from_callable(type(self._parts[owner])) if p.name == option), Any
        )

    def _unknown(self, target: str) -> str:
        choices = [*OWN, *(f"{o}.{n}" for o, p in self._parts.items() for n in p.schedulable)]
        return (
            f"model.schedules: there is no setting {target!r} to schedule."
            f"{suggest(target, choices)} Choices: {listing(choices)}."
        )

    def _set_lr(self, which: int, value: float) -> None:
        rate = value * self._lazy[which] * self._lr_factor
        set_learning_rate(self._optimizers[which], rate)

    def _beta(self, target: str) -> Write:
        which = ("beta1", "beta2").index(target)
        if any("betas" not in g for o in self._optimizers for g in o.param_groups):
            raise ZooError(f"model.schedules: {target} needs an optimizer with betas, like Adam.")
        if not all(isinstance(o, DeviceAdam) for o in self._optimizers):
            self.obstacle = f"the scheduled {target} is a Python number, which a graph would freeze"

        def write(value: float) -> None:
            for optimizer, share in zip(self._optimizers, self._lazy, strict=True):
                for group in optimizer.param_groups:
                    betas = list(group["betas"])
                    betas[which] = value**share
                    group["betas"] = tuple(betas)
                if isinstance(optimizer, DeviceAdam):
                    optimizer.hold_betas()

        return write

    def _half_life(self) -> Write:
        ema = self._ema
        if ema is None or ema.beta is not None or ema.equal:
            raise ZooError(
                "model.schedules: ema_half_life needs an average with a half-life: set "
                "model.ema_half_life and leave model.ema_beta and model.average=swa out."
            )
        return ema.set_half_life
