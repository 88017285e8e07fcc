"""Explain why a training failed: out of memory, a full or broken disk, or a lost process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from zoo.core.errors import OwnError, ZooError
from zoo.core.faults import (
    is_disk_broken,
    is_disk_full,
    is_lost_peer,
    is_out_of_memory,
    smaller_batch,
)
from zoo.training.processes import Watch


@contextlib.contextmanager
def failures_explained(
    trainer: Any, gan: Any, data: Any, watch: Watch, how_to_resume: Callable[[], str]
) -> Iterator[None]:
    """Turn errors with a cause outside the training, such as a full disk, into one sentence.

    Args:
        trainer: Lightning's trainer of the training.
        gan: its module.
        data: its datamodule.
        watch: the watch over the other processes of the training.
        how_to_resume: returns a clause that says how to resume the training.

    Raises:
        ZooError: memory or disk is used up, the disk fails, or another process has ended.
    """
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise OwnError(_no_memory(trainer, gan, data)) from error
        if isinstance(error, OSError) and is_disk_full(error):
            where = f"cannot write {error.filename or trainer.default_root_dir}"
            raise OwnError(
                f"{where}: {error.strerror}; free some space, then {how_to_resume()}"
            ) from error
        if isinstance(error, OSError) and is_disk_broken(error):
            where = f"cannot read or write {error.filename or trainer.default_root_dir}"
            raise OwnError(
                f"{where}: {error.strerror}; repair the disk, then {how_to_resume()}"
            ) from error
        if is_lost_peer(error) and (lost := watch.error(error)) is not None:
            raise lost from error
        raise


def _no_memory(trainer: Any, gan: Any, data: Any) -> str:
    """Return a sentence that names the device and suggests a batch that needs less memory."""
    device, size = trainer.strategy.root_device, data.batch_size
    begin = f"out of memory on {device} with datamodule.batch_size={size}: "
    accumulate = getattr(gan, "accumulate", 1)
    packs = max((r.packs for r in gan.regularizers), default=1)
    smaller = smaller_batch(size, trainer.world_size * accumulate * packs)
    if smaller is None:
        return f"{begin}a smaller batch is not possible, so choose smaller networks or images."
    same = f", or model.accumulate={2 * accumulate} for the same updates in half the memory"
    if smaller * 2 != size:
        same = ""
    return f"{begin}try datamodule.batch_size={smaller}{same}"
