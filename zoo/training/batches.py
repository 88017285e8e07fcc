"""Splitting the batch of a step into slices for its updates, and an update's slice into pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from zoo.contracts.outputs import GeneratorOutput
from zoo.core.errors import ZooError, with_article
from zoo.layers.shapes import check_packs

Batch = tuple[Tensor, Tensor | None]


def slices_of_step(d_steps: int, own_batch_for_g: bool) -> int:
    """Return the number of slices of a step's batch: one per update of D, and G's if it has one."""
    return d_steps + own_batch_for_g


def pair(batch: object) -> tuple[Any, Any]:
    """Split a loader's batch into images and labels; labels are None if there are only images.

    Raises:
        ZooError: The batch is neither a tensor nor a list or tuple.
    """
    if isinstance(batch, Tensor):
        return batch, None
    if isinstance(batch, list | tuple) and batch:
        return batch[0], batch[-1] if len(batch) > 1 else None
    raise ZooError(
        f"the loader yields {with_article(type(batch).__name__)} as a batch: it must yield "
        "images (N, C, H, W), or pairs of images and labels."
    )


def too_small(images: int, accumulate: int) -> ZooError:
    """Return the error for a batch with a single value per channel, too few for batch norm."""
    split = accumulate > 1
    return ZooError(
        f"a batch of {images} image{'s' if images > 1 else ''}"
        + (f", split into accumulate={accumulate} pieces," if split else "")
        + " leaves batch norm a single value per channel, but it needs two: raise batch_size, "
        + ("lower accumulate, " if split else "")
        + "choose networks without batch norm, or, with a loader of your own, drop its last batch "
        "(drop_last=True)."
    )


def check_pieces(images: int, accumulate: int, packs: int) -> None:
    """Reject an update's batch that cannot be split evenly, before training starts.

    Args:
        images: The number of images in the batch of one process.
        accumulate: The number of pieces that the batch is split into.
        packs: How many images of a piece D sees as one.

    Raises:
        ZooError: The images do not fill all pieces, or all packs, evenly.
    """
    size, rest = divmod(images, accumulate)
    if rest:
        raise ZooError(
            f"a batch of {images} images cannot be split evenly into accumulate={accumulate} "
            "pieces: datamodule.batch_size must be a multiple of that."
        )
    check_packs(size, packs)


def slices(
    images: Tensor, labels: Tensor | None, d_steps: int, own_batch_for_g: bool, accumulate: int
) -> list[Batch]:
    """Return the images and labels of each update of D, then those of G if it has its own.

    Raises:
        ZooError: The batch cannot be split evenly.
    """
    updates = slices_of_step(d_steps, own_batch_for_g)
    size, rest = divmod(len(images), updates)
    if rest or size % accumulate:
        raise ZooError(
            f"a batch of {len(images)} images cannot be split evenly among d_steps={d_steps} "
            "updates of the discriminator"
            + (" and one of the generator" if own_batch_for_g else "")
            + (f" in {accumulate} pieces each" if accumulate > 1 else "")
            + f": its size must be a multiple of {updates * accumulate}."
        )
    cuts = [slice(j * size, (j + 1) * size) for j in range(updates)]
    return [(images[cut], None if labels is None else labels[cut]) for cut in cuts]


def pieces(
    images: Tensor, labels: Tensor | None, generated: GeneratorOutput | None, accumulate: int
) -> Iterator[tuple[Tensor, Tensor | None, GeneratorOutput | None, int]]:
    """Yield the pieces of an update's batch: images, labels, G's output if given, and the index.

    Only a batch in a single piece may have a given output of G.
    """
    if accumulate == 1:
        yield images, labels, generated, 0
        return
    ys = [None] * accumulate if labels is None else labels.chunk(accumulate)
    for i, (real, y) in enumerate(zip(images.chunk(accumulate), ys, strict=True)):
        yield real, y, None, i
