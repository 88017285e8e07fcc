"""Checks of data before use: batches that exceed the memory, and batches of foreign loaders."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ZooError, with_article
from zoo.core.faults import smaller_batch
from zoo.core.memory import usable_memory

COPIES = 4
"""The least number of float32 copies of a batch in an update: reals, fakes, their gradients."""
TOLERANCE = 1e-3
"""How far values of a float image may lie outside [-1, 1] and still count as rounding errors."""


def check_batch_size(name: str, batch_size: int, values: int, updates: int = 1) -> None:
    """Refuse a batch that this machine cannot hold, before any work on it starts.

    The estimate counts only what every training needs; the networks' activations come on top.

    Args:
        name: the name of the data module.
        batch_size: the number of images in one update.
        values: the number of values in one image.
        updates: the number of updates whose images are fetched together.

    Raises:
        ZooError: the batch does not fit; the message suggests a smaller one.
    """
    memory = usable_memory()
    if memory is None or _needed(batch_size, values, updates) <= memory:
        return
    smaller: int | None = batch_size
    while smaller is not None and _needed(smaller, values, updates) > memory:
        smaller = smaller_batch(smaller)
    advice = (
        "choose smaller images, or fewer D updates per step."
        if smaller is None
        else f"set datamodule.batch_size={smaller}, or less."
    )
    each = f" for each of {updates:,} updates" if updates > 1 else ""
    raise ZooError(
        f"datamodule {name}: a batch of {batch_size:,} images of {values:,} values{each} takes at "
        f"least {_needed(batch_size, values, updates) / 1e9:,.1f} GB in training, more than the "
        f"{memory / 1e9:,.1f} GB now available on this machine: {advice}"
    )


def _needed(batch_size: int, values: int, updates: int) -> int:
    """Return the bytes of one update's float32 copies and of the stored images of all updates."""
    return values * batch_size * (COPIES * 4 + updates)


def check_batch(
    images: object,
    labels: object,
    channels: int,
    size: tuple[int, int],
    num_classes: int,
    called: str = "the first batch",
) -> str | None:
    """Check a batch of a user's own loader for common mistakes.

    Args:
        images: uint8, or float in [-1, 1], (N, channels, *size).
        labels: int64 (N,) from 0 to `num_classes` - 1; ignored if `num_classes` is 0.
        channels: the number of channels that the networks take.
        size: the height and width that the networks take.
        num_classes: the number of classes of the networks; 0 for none.
        called: what the batch is called in messages.

    Returns:
        A note about something that is allowed but probably not intended, or None.

    Raises:
        ZooError: the batch cannot be trained on; the message says what is wrong and what would be
            right.
    """
    if not isinstance(images, Tensor):
        raise ZooError(
            f"{called} holds {with_article(type(images).__name__)} instead of a tensor of images: "
            "a loader yields images (N, C, H, W), or pairs of images and labels."
        )
    shape = tuple(images.shape)
    if shape[1:] != (channels, *size) or not len(images):
        last = " Channels come before height and width." if shape[-1:] == (channels,) else ""
        raise ZooError(
            f"{called} has the shape {shape}, but the networks take images of the shape (N, "
            f"{channels}, {size[0]}, {size[1]}).{last}"
        )
    note = None
    if images.is_floating_point():
        least, most = (v.item() for v in images.detach().float().aminmax())
        if not (least >= -1 - TOLERANCE and most <= 1 + TOLERANCE):  # NaN too
            raise ZooError(
                f"{called} has float images from {least:.4g} to {most:.4g}, but they must lie in "
                "[-1, 1]: scale them (x / 127.5 - 1 for values from 0 to 255), or pass uint8."
            )
        if least >= 0 and most > 0.5:
            note = (
                f"{called} has float images from {least:.4g} to {most:.4g}: if their range is "
                "[0, 1], pass 2 * x - 1, since generators produce images in [-1, 1]."
            )
    elif images.dtype != torch.uint8:
        raise ZooError(
            f"{called} has images of {images.dtype}: pass uint8 from 0 to 255, or float in [-1, 1]."
        )
    if num_classes:
        _check_labels(labels, len(images), num_classes, called)
    return note


def _check_labels(labels: object, count: int, num_classes: int, called: str) -> None:
    right = f"labels are integers (N,) from 0 to {num_classes - 1}"
    if not isinstance(labels, Tensor):
        raise ZooError(f"{called} has no labels, but the networks need them: {right}.")
    if labels.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8):
        raise ZooError(f"{called} has labels of {labels.dtype}: {right}.")
    if tuple(labels.shape) != (count,):
        raise ZooError(
            f"{called} has labels of the shape {tuple(labels.shape)} for {count} images: {right}."
        )
    least, most = (int(v) for v in labels.aminmax())
    if least < 0 or most >= num_classes:
        raise ZooError(f"{called} has labels from {least} to {most}: {right}.")
