"""Real images of any loader to compare with, and classes numbered as a generator's."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import ZooError, ZooWarning
from zoo.data.checks import check_batch
from zoo.data.pixels import stored
from zoo.metrics.comparison import Reference


def loader_reference(
    batches: Iterable[Any], num_classes: int = 0, generated: bool = False
) -> Reference:
    """All images of a loader, one pass.

    Args:
        batches: images (N, C, H, W), uint8 or float in [-1, 1], or pairs of images and labels (N,).
        num_classes: of the model; 0 leaves labels out.
        generated: they are a generator's, which may lie beyond [-1, 1] and are clamped to it.

    Raises:
        ZooError: there are no images, or batches are something else, as images of another range or
            labels beyond the classes.
    """
    images: list[Tensor] = []
    labels: list[Tensor] = []
    if not isinstance(batches, Iterable):
        raise ZooError(
            f"data is a {type(batches).__name__}: give a folder, a data set's name or a loader."
        )
    for number, batch in enumerate(batches, start=1):
        pair = isinstance(batch, list | tuple)
        pictures = batch[0] if pair else batch
        if not isinstance(pictures, Tensor) or pictures.dim() != 4:
            raise ZooError(
                "the loader must give images (N, C, H, W), or pairs of images and labels (N,); it "
                f"gives {type(pictures).__name__}."
            )
        if not len(pictures):
            continue
        y = batch[1] if pair and len(batch) > 1 else None
        if y is not None:
            if not isinstance(y, Tensor) or y.shape != pictures.shape[:1]:
                raise ZooError("the loader gives labels that are no tensor (N,) beside N images.")
            labels.append(y.cpu().long())
        if generated and pictures.is_floating_point() and pictures.min() < 0:  # else 0 to 255
            pictures = pictures.clamp(-1, 1)
        called = f"batch {number} of the loader"
        if images and images[0].shape[1:] != pictures.shape[1:]:
            raise ZooError(
                f"{called} has the shape {tuple(pictures.shape)}, and those before it "
                f"{tuple(images[0].shape)}: images are compared in one size."
            )
        classes = 0 if y is None else num_classes
        channels, *size = pictures.shape[1:]
        note = check_batch(pictures, y, channels, (size[0], size[1]), classes, called)
        if note is not None and not images:
            warnings.warn(note, ZooWarning, stacklevel=2)
        images.append((stored(pictures) if pictures.is_floating_point() else pictures).cpu())
    if not images:
        raise ZooError("the loader gives no images to compare with.")
    known = num_classes > 0 and len(labels) == len(images)
    return Reference(
        "loader",
        "train",
        torch.cat(images),
        torch.cat(labels) if known else None,
        num_classes if known else 0,
    )


def class_numbers(own: Sequence[str], wanted: Sequence[str]) -> Tensor | None:
    """The number of each class in another order of them; None where one is not there."""
    if not own or not set(own) <= set(wanted):
        return None
    return torch.tensor([list(wanted).index(name) for name in own])


def in_classes_of(reference: Reference, names: Sequence[str]) -> tuple[Reference, list[str]]:
    """A reference whose labels count the classes as a generator does, and what there is to note.

    A folder has its classes in alphabetical order, and a data set of Hugging Face's or a `.npz`
    file may have the same ones in another.

    Args:
        names: of the generator's classes; empty where they are not known.
    """
    own = reference.class_names
    if reference.labels is None or not (names and own) or tuple(names) == own:
        return reference, []
    numbers = class_numbers(own, names)
    if numbers is None or len(own) != len(names):
        return reference, [
            f"Classes go by their numbers: {names[0]!r} of the generator is held against "
            f"{own[0]!r} of {reference.dataset}, and so on."
        ]
    tested = reference.test_labels
    return dataclasses.replace(
        reference,
        labels=numbers[reference.labels],
        test_labels=None if tested is None else numbers[tested],
        class_names=tuple(names),
    ), []
