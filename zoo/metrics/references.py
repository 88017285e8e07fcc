"""References from data loaders, and renumbering their classes as a generator numbers them."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import ZooError, ZooWarning, with_article
from zoo.data.checks import check_batch
from zoo.data.pixels import stored
from zoo.metrics.comparison import Reference


def loader_reference(
    batches: Iterable[Any], num_classes: int = 0, generated: bool = False
) -> Reference:
    """Return a reference with all images of one pass over a loader.

    Args:
        batches: batches of images (N, C, H, W), uint8 or float in [-1, 1], or pairs of such images
            and labels (N,).
        num_classes: the number of classes of the model; 0 ignores labels.
        generated: whether the images are a generator's, whose values may exceed [-1, 1] and are
            clamped.

    Raises:
        ZooError: there are no images, or the batches have another format, another range of values,
            or labels outside the classes.
    """
    images: list[Tensor] = []
    labels: list[Tensor] = []
    if not isinstance(batches, Iterable):
        raise ZooError(
            f"data is {with_article(type(batches).__name__)}: pass a folder, the name of a data "
            "set, or a loader."
        )
    for number, batch in enumerate(batches, start=1):
        pair = isinstance(batch, list | tuple)
        pictures = batch[0] if pair else batch
        if not isinstance(pictures, Tensor) or pictures.dim() != 4:
            raise ZooError(
                "the loader must yield images (N, C, H, W), or pairs of images and labels (N,); it "
                f"yields {type(pictures).__name__}."
            )
        if not len(pictures):
            continue
        y = batch[1] if pair and len(batch) > 1 else None
        if y is not None:
            if not isinstance(y, Tensor) or y.shape != pictures.shape[:1]:
                raise ZooError(
                    "the loader yields labels that are not a tensor (N,), one for each of N images."
                )
            labels.append(y.cpu().long())
        # Without negative values, floats are probably in [0, 1] or [0, 255], which is an error.
        if generated and pictures.is_floating_point() and pictures.min() < 0:
            pictures = pictures.clamp(-1, 1)
        called = f"batch {number} of the loader"
        if images and images[0].shape[1:] != pictures.shape[1:]:
            raise ZooError(
                f"{called} has the shape {tuple(pictures.shape)}, but those before it had "
                f"{tuple(images[0].shape)}: all images must have the same size."
            )
        classes = 0 if y is None else num_classes
        channels, *size = pictures.shape[1:]
        note = check_batch(pictures, y, channels, (size[0], size[1]), classes, called)
        if note is not None and not images:
            warnings.warn(note, ZooWarning, stacklevel=2)
        images.append((stored(pictures) if pictures.is_floating_point() else pictures).cpu())
    if not images:
        raise ZooError("the loader yields no images to compare with.")
    has_labels = num_classes > 0 and len(labels) == len(images)
    return Reference(
        "loader",
        "train",
        torch.cat(images),
        torch.cat(labels) if has_labels else None,
        num_classes if has_labels else 0,
    )


def class_numbers(own: Sequence[str], wanted: Sequence[str]) -> Tensor | None:
    """Return the position in `wanted` of each class of `own`; None if one of them is missing."""
    if not own or not set(own) <= set(wanted):
        return None
    return torch.tensor([list(wanted).index(name) for name in own])


def in_classes_of(reference: Reference, names: Sequence[str]) -> tuple[Reference, list[str]]:
    """Renumber the labels of a reference in the order of a generator's classes.

    A folder has its classes in alphabetical order, whereas a Hugging Face data set or a `.npz` file
    may have the same classes in another order.

    Args:
        reference: the real images.
        names: the names of the generator's classes; empty if they are unknown.

    Returns:
        The reference, and a note if its classes have other names.
    """
    own = reference.class_names
    if reference.labels is None or not (names and own) or tuple(names) == own:
        return reference, []
    numbers = class_numbers(own, names)
    if numbers is None or len(own) != len(names):
        return reference, [
            f"Classes are matched by number: {names[0]!r} of the generator is compared with "
            f"{own[0]!r} of {reference.dataset}, and so on."
        ]
    test_labels = reference.test_labels
    return dataclasses.replace(
        reference,
        labels=numbers[reference.labels],
        test_labels=None if test_labels is None else numbers[test_labels],
        class_names=tuple(names),
    ), []
