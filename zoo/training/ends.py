"""When a training ends: the earliest of epochs, steps, images and time; and how to go on."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from zoo.core.errors import ZooError

EPOCHS = 12
"""The length of a training whose end is not given."""
COUNTED = ("max_epochs", "max_steps", "max_images")


def given_ends(settings: dict[str, Any]) -> dict[str, Any]:
    """The ends among the trainer's settings, by name; -1 and null are none."""
    names = (*COUNTED, "max_time")
    return {n: settings[n] for n in names if settings.get(n) not in (None, -1)}


def check_ends(settings: dict[str, Any]) -> None:
    """Refuse an end that lies before the first step.

    Raises:
        ZooError: it is below 1, and not -1.
    """
    for name in COUNTED:
        value = settings.get(name)
        if value is None or value >= 1 or (value == -1 and name != "max_images"):
            continue
        none = "null" if name == "max_images" else "-1"
        raise ZooError(f"trainer.{name}={value} must be 1 or more, or {none} for no such end.")


def set_ends(settings: dict[str, Any], images_per_step: int) -> None:
    """Make Lightning's ends of the zoo's, in place: the earliest one holds.

    Args:
        images_per_step: real images of all updates of D in one step.
    """
    ends = given_ends(settings)
    images = settings.pop("max_images", None)
    steps = [ends["max_steps"]] if "max_steps" in ends else []
    if images is not None:
        steps.append(math.ceil(images / images_per_step))
    settings["max_steps"] = min(steps, default=-1)
    if settings.get("max_epochs") is None:
        settings["max_epochs"] = -1 if ends else EPOCHS


def count_from_here(settings: dict[str, Any], epochs: int, steps: int, images: int) -> None:
    """Move the ends, in place, behind what was trained so far.

    Args:
        epochs, steps, images: of the checkpoint that is continued.
    """
    ends, done = _ends_and_done(settings, epochs, steps, images)
    settings.update({name: ends[name] + done[name] for name in COUNTED if name in ends})


def reach_back(settings: dict[str, Any], epochs: int) -> None:
    """Let a training that is continued end where it is if its last epoch lies behind, in place.

    Lightning refuses a `max_epochs` below the epoch of the checkpoint.

    Args:
        epochs: of the checkpoint that is continued.
    """
    if "max_epochs" in given_ends(settings):
        settings["max_epochs"] = max(settings["max_epochs"], epochs)


def longer(settings: dict[str, Any], epochs: int, steps: int, images: int) -> str:
    """The overrides with which a training goes on behind the ends that it has reached.

    Args:
        settings: the trainer's, as they were given.
        epochs, steps, images: trained so far.
    """
    ends, done = _ends_and_done(settings, epochs, steps, images)
    reached = [n for n in COUNTED if n in ends and ends[n] <= done[n]]
    if not reached and "max_time" in ends:
        return f"+trainer.max_time={_twice(ends['max_time'])}"
    # Where none is reached, something else ended it: a callback, or the user.
    reached = reached or [n for n in COUNTED if n in ends] or ["max_epochs"]
    return " ".join(f"trainer.{n}={2 * max(ends.get(n, 1), done[n], 1)}" for n in reached)


def _ends_and_done(
    settings: dict[str, Any], epochs: int, steps: int, images: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """The ends that hold, and how far a training has come to each that is counted, by name."""
    ends = given_ends(settings) or {"max_epochs": EPOCHS}
    return ends, dict(zip(COUNTED, (epochs, steps, images), strict=True))


def _twice(time: Any) -> str:
    """Twice a duration as Lightning takes it: DD:HH:MM:SS."""
    if isinstance(time, dict):
        seconds = timedelta(**time).total_seconds()
    elif isinstance(time, timedelta):
        seconds = time.total_seconds()
    else:
        days, hours, minutes, rest = map(int, str(time).split(":"))
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    minutes, rest = divmod(2 * int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24:02}:{hours % 24:02}:{minutes:02}:{rest:02}"
