"""When a training ends: the first limit of epochs, steps, images or time; and how to extend it."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from zoo.core.errors import ZooError

EPOCHS = 12
"""The number of epochs of a training for which no limit is set."""
COUNTED = ("max_epochs", "max_steps", "max_images")
"""The limits that are numbers, unlike `max_time`."""


def given_ends(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the limits among the trainer's settings, by name; -1 and null set no limit."""
    names = (*COUNTED, "max_time")
    return {n: settings[n] for n in names if settings.get(n) not in (None, -1)}


def check_ends(settings: dict[str, Any]) -> None:
    """Reject a limit that lies before the first step.

    Raises:
        ZooError: A limit is below 1, and not -1.
    """
    for name in COUNTED:
        value = settings.get(name)
        if value is None or value >= 1 or (value == -1 and name != "max_images"):
            continue
        none = "null" if name == "max_images" else "-1"
        raise ZooError(f"trainer.{name}={value} must be 1 or more, or {none} for no limit.")


def set_ends(settings: dict[str, Any], images_per_step: int) -> None:
    """Convert the zoo's limits to Lightning's, in place; the first limit reached ends the training.

    Args:
        settings: The trainer's settings.
        images_per_step: The number of real images in all updates of D of one step.
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
    """Make the limits count from the checkpoint that is resumed, in place.

    Args:
        settings: The trainer's settings.
        epochs, steps, images: What the checkpoint was trained for.
    """
    ends, done = _ends_and_done(settings, epochs, steps, images)
    settings.update({name: ends[name] + done[name] for name in COUNTED if name in ends})


def reach_back(settings: dict[str, Any], epochs: int) -> None:
    """Raise `max_epochs` to the epoch of the checkpoint that is resumed, in place.

    The training then ends at once, whereas Lightning rejects a `max_epochs` that has passed.

    Args:
        settings: The trainer's settings.
        epochs: The number of epochs that the checkpoint was trained for.
    """
    if "max_epochs" in given_ends(settings):
        settings["max_epochs"] = max(settings["max_epochs"], epochs)


def longer(settings: dict[str, Any], epochs: int, steps: int, images: int) -> str:
    """Return the overrides that extend a training beyond the limits that it has reached.

    Args:
        settings: The trainer's settings, as the user gave them.
        epochs, steps, images: What has been trained so far.
    """
    ends, done = _ends_and_done(settings, epochs, steps, images)
    names = list(reached(settings, epochs, steps, images))
    if not names and "max_time" in ends:
        return f"+trainer.max_time={_twice(ends['max_time'])}"
    # If no limit is reached, a callback or the user ended the training.
    names = names or [n for n in COUNTED if n in ends] or ["max_epochs"]
    return " ".join(f"trainer.{n}={2 * max(ends.get(n, 1), done[n], 1)}" for n in names)


def reached(settings: dict[str, Any], epochs: int, steps: int, images: int) -> dict[str, int]:
    """Return the limits that a training has reached, by name; `max_time` is not among them.

    Args:
        settings: The trainer's settings, as the user gave them.
        epochs, steps, images: What has been trained so far.
    """
    ends, done = _ends_and_done(settings, epochs, steps, images)
    return {n: ends[n] for n in COUNTED if n in ends and ends[n] <= done[n]}


def _ends_and_done(
    settings: dict[str, Any], epochs: int, steps: int, images: int
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the limits in force, and the numbers trained so far, both by the limits' names."""
    ends = given_ends(settings) or {"max_epochs": EPOCHS}
    return ends, dict(zip(COUNTED, (epochs, steps, images), strict=True))


def _twice(time: Any) -> str:
    """Double a duration; the result is in Lightning's format DD:HH:MM:SS."""
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
