"""What is looked at before data are used: sizes that no machine holds, a foreign batch."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.faults import smaller_batch
from zoo.core.memory import usable_memory

COPIES = 4
"""How often an update holds a batch in float32, at least: reals, fakes, and their gradients."""
TOLERANCE = 1e-3
"""How far a float image may lie outside of [-1, 1]: rounding, not another range."""


def check_batch_size(name: str, batch_size: int, values: int, updates: int = 1) -> None:
    """Refuse a batch that this machine cannot hold, before any work on it starts.

    Counted is what no training does without; the networks' own values come on top.

    Args:
        name: of the data module.
        batch_size: images of one update.
        values: of one image.
        updates: whose images are fetched together.

    Raises:
        ZooError: it does not fit; the sentence has one that might.
    """
    memory = usable_memory()
    if memory is None or _needed(batch_size, values, updates) <= memory:
        return
    smaller: int | None = batch_size
    while smaller is not None and _needed(smaller, values, updates) > memory:
        smaller = smaller_batch(smaller)
    advice = (
        "choose smaller images, or fewer updates of D a step."
        if smaller is None
        else f"take datamodule.batch_size={smaller}, or less."
    )
    each = f" for each of {updates:,} updates" if updates > 1 else ""
    raise ZooError(
        f"datamodule {name}: a batch of {batch_size:,} images of {values:,} values{each} takes "
        f"{_needed(batch_size, values, updates) / 1e9:,.1f} GB in training at the least, more than "
        f"the {memory / 1e9:,.1f} GB that can be had on this machine now: {advice}"
    )


def _needed(batch_size: int, values: int, updates: int) -> int:
    """Bytes: the copies of one update, and what was fetched for all of them as it is stored."""
    return values * batch_size * (COPIES * 4 + updates)


def check_batch(
    images: object,
    labels: object,
    channels: int,
    size: tuple[int, int],
    num_classes: int,
    called: str = "the first batch",
) -> str | None:
    """Look at a batch, the first one of a training: what a loader of one's own may get wrong.

    Args:
        images: uint8, or float in [-1, 1], (N, channels, *size).
        size: height and width.
        labels: int64 (N,) from 0 to `num_classes` - 1; not looked at without classes.
        called: the batch, in sentences.

    Returns:
        A note on what may be meant and is probably not, or None.

    Raises:
        ZooError: it is nothing to train on; the sentence says what is wrong and what is right.
    """
    if not isinstance(images, Tensor):
        raise ZooError(
            f"{called} holds a {type(images).__name__} in the place of its images: a loader "
            "gives images (N, C, H, W), or pairs of images and labels."
        )
    shape = tuple(images.shape)
    if shape[1:] != (channels, *size) or not len(images):
        last = " Channels come before height and width." if shape[-1:] == (channels,) else ""
        raise ZooError(
            f"{called} has the shape {shape}, and the networks take images of (N, "
            f"{channels}, {size[0]}, {size[1]}).{last}"
        )
    note = None
    if images.is_floating_point():
        least, most = (v.item() for v in images.detach().float().aminmax())
        if not (least >= -1 - TOLERANCE and most <= 1 + TOLERANCE):  # NaN too
            raise ZooError(
                f"{called} has float images from {least:.4g} to {most:.4g}, and they must "
                "lie in [-1, 1]: scale them (x / 127.5 - 1 for 0 to 255), or give uint8."
            )
        if least >= 0 and most > 0.5:
            note = (
                f"{called} has float images from {least:.4g} to {most:.4g}: if they are "
                "meant to go from 0 to 1, give 2 * x - 1, since generators give [-1, 1]."
            )
    elif images.dtype != torch.uint8:
        raise ZooError(
            f"{called} has images of {images.dtype}: give uint8 from 0 to 255, or float in [-1, 1]."
        )
    if num_classes:
        _check_labels(labels, len(images), num_classes, called)
    return note


def _check_labels(labels: object, count: int, num_classes: int, called: str) -> None:
    right = f"labels are whole numbers (N,) from 0 to {num_classes - 1}"
    if not isinstance(labels, Tensor):
        raise ZooError(f"{called} has no labels, and the networks take them: {right}.")
    if labels.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8):
        raise ZooError(f"{called} has labels of {labels.dtype}: {right}.")
    if tuple(labels.shape) != (count,):
        raise ZooError(
            f"{called} has labels of the shape {tuple(labels.shape)} for {count} images: {right}."
        )
    least, most = (int(v) for v in labels.aminmax())
    if least < 0 or most >= num_classes:
        raise ZooError(f"{called} has labels from {least} to {most}: {right}.")
