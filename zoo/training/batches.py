"""How the images of a step are shared among its updates, and those of an update into pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from zoo.contracts.outputs import GeneratorOutput
from zoo.core.errors import ZooError
from zoo.layers.shapes import check_packs

Batch = tuple[Tensor, Tensor | None]


def slices_of_step(d_steps: int, own_batch_for_g: bool) -> int:
    """Slices of the batch of a step: one for each update of D, and G's own where it has one."""
    return d_steps + own_batch_for_g


def pair(batch: object) -> tuple[Any, Any]:
    """Images and labels of what a loader gives; labels are None where images come alone.

    Raises:
        ZooError: it is neither a tensor, a list nor a tuple.
    """
    if isinstance(batch, Tensor):
        return batch, None
    if isinstance(batch, list | tuple) and batch:
        return batch[0], batch[-1] if len(batch) > 1 else None
    raise ZooError(
        f"a batch is a {type(batch).__name__}: a loader gives images (N, C, H, W), or pairs of "
        "images and labels."
    )


def too_small(images: int, accumulate: int) -> ZooError:
    """The error of a batch that leaves batch norm a single value of each channel."""
    shared = accumulate > 1
    return ZooError(
        f"a batch of {images} image{'s' if images > 1 else ''}"
        + (f", shared into accumulate={accumulate} pieces," if shared else "")
        + " gives batch norm a single value of each channel, and it needs two: raise batch_size, "
        + ("lower accumulate, " if shared else "")
        + "choose networks without batch norm, or let a loader of your own drop its last batch "
        "(drop_last=True)."
    )


def check_pieces(images: int, accumulate: int, packs: int) -> None:
    """Refuse a batch of an update that cannot be shared evenly, before a step meets it.

    Args:
        images: of one process.
        accumulate: pieces that they are shared into.
        packs: how many images of a piece D sees as one.

    Raises:
        ZooError: a piece, or a pack, would be left open.
    """
    size, rest = divmod(images, accumulate)
    if rest:
        raise ZooError(
            f"a batch of {images} images cannot be shared into accumulate={accumulate} pieces: "
            "datamodule.batch_size has to be a multiple."
        )
    check_packs(size, packs)


def slices(
    images: Tensor, labels: Tensor | None, d_steps: int, own_batch_for_g: bool, accumulate: int
) -> list[Batch]:
    """Images and labels of each update of D, and last those of G where it has its own.

    Raises:
        ZooError: the batch has no equal share for each of them.
    """
    updates = slices_of_step(d_steps, own_batch_for_g)
    size, rest = divmod(len(images), updates)
    if rest or size % accumulate:
        raise ZooError(
            f"a batch of {len(images)} images cannot be shared by d_steps={d_steps} "
            "updates of the discriminator"
            + (" and one of the generator" if own_batch_for_g else "")
            + (f" in {accumulate} pieces each" if accumulate > 1 else "")
            + ": it has to be a multiple."
        )
    cuts = [slice(j * size, (j + 1) * size) for j in range(updates)]
    return [(images[cut], None if labels is None else labels[cut]) for cut in cuts]


def pieces(
    images: Tensor, labels: Tensor | None, generated: GeneratorOutput | None, accumulate: int
) -> Iterator[tuple[Tensor, Tensor | None, GeneratorOutput | None, int]]:
    """The pieces of an update's batch, what G made for it already, and the number of each."""
    if accumulate == 1:
        yield images, labels, generated, 0
        return
    ys = [None] * accumulate if labels is None else labels.chunk(accumulate)
    for i, (real, y) in enumerate(zip(images.chunk(accumulate), ys, strict=True)):
        yield real, y, None, i
