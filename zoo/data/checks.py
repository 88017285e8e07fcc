"""What is looked at before training on data: sizes that no machine holds, a foreign batch."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.data.memory import physical_memory

COPIES = 4
"""Of a batch in float32 that one update holds at least: reals, fakes, and their gradients."""
TOLERANCE = 1e-3
"""By which a float image may lie outside of [-1, 1]: rounding, not another range."""


def check_batch_size(name: str, images: int, values: int) -> None:
    """Refuse a batch that this machine cannot hold, before any work on it starts.

    Args:
        name: of the data module.
        images: of one batch.
        values: of one image.

    Raises:
        ZooError: it does not fit.
    """
    memory, needed = physical_memory(), COPIES * 4 * images * values
    if memory is not None and needed > memory:
        raise ZooError(
            f"datamodule {name}: a batch of {images:,} images of {values:,} values takes "
            f"{needed / 1e9:,.0f} GB in training, more than the {memory / 1e9:,.0f} GB of this "
            "machine: choose a smaller batch_size."
        )


def check_batch(
    images: object,
    labels: object,
    channels: int,
    size: tuple[int, int],
    num_classes: int,
) -> str | None:
    """Look at the first batch of a training: what a loader of one's own may get wrong.

    Args:
        images: uint8, or float in [-1, 1], (N, channels, *size).
        size: height and width.
        labels: int64 (N,) from 0 to `num_classes` - 1; not looked at without classes.

    Returns:
        A note on what may be meant and is probably not, or None.

    Raises:
        ZooError: it is nothing to train on; the sentence says what is wrong and what is right.
    """
    if not isinstance(images, Tensor):
        raise ZooError(
            f"the first batch holds a {type(images).__name__} in the place of its images: a loader "
            "gives images (N, C, H, W), or pairs of images and labels."
        )
    shape = tuple(images.shape)
    if shape[1:] != (channels, *size) or not len(images):
        last = " Channels come before height and width." if shape[-1:] == (channels,) else ""
        raise ZooError(
            f"the first batch has the shape {shape}, and the networks take images of (N, "
            f"{channels}, {size[0]}, {size[1]}).{last}"
        )
    note = None
    if images.is_floating_point():
        least, most = (v.item() for v in images.detach().float().aminmax())
        if not (least >= -1 - TOLERANCE and most <= 1 + TOLERANCE):  # NaN too
            raise ZooError(
                f"the first batch has float images from {least:.4g} to {most:.4g}, and they must "
                "lie in [-1, 1]: scale them (x / 127.5 - 1 for 0 to 255), or give uint8."
            )
        if least >= 0 and most > 0.5:
            note = (
                f"the first batch has float images from {least:.4g} to {most:.4g}: if they are "
                "meant to go from 0 to 1, give 2 * x - 1, since generators give [-1, 1]."
            )
    elif images.dtype != torch.uint8:
        raise ZooError(
            f"the first batch has images of {images.dtype}: give uint8 from 0 to 255, or float in "
            "[-1, 1]."
        )
    if num_classes:
        _check_labels(labels, len(images), num_classes)
    return note


def _check_labels(labels: object, count: int, num_classes: int) -> None:
    right = f"labels are whole numbers (N,) from 0 to {num_classes - 1}"
    if not isinstance(labels, Tensor):
        raise ZooError(f"the first batch has no labels, and the networks take them: {right}.")
    if labels.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8):
        raise ZooError(f"the first batch has labels of {labels.dtype}: {right}.")
    if tuple(labels.shape) != (count,):
        raise ZooError(
            f"the first batch has labels of the shape {tuple(labels.shape)} for {count} images: "
            f"{right}."
        )
    least, most = (int(v) for v in labels.aminmax())
    if least < 0 or most >= num_classes:
        raise ZooError(f"the first batch has labels from {least} to {most}: {right}.")
