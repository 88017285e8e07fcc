"""Why a training ended before its end, in words: no memory, no disk, no other process."""

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
def ends_told(
    trainer: Any, gan: Any, data: Any, watch: Watch, go_on: Callable[[], str]
) -> Iterator[None]:
    """Turn what ends a running training from outside into one sentence.

    Args:
        watch: of the other processes.
        go_on: a clause that says how to go on.

    Raises:
        ZooError: memory or disk is used up, or another process has ended.
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
            raise OwnError(f"{where}: {error.strerror}; make room, then {go_on()}") from error
        if isinstance(error, OSError) and is_disk_broken(error):
            where = f"the disk of {error.filename or trainer.default_root_dir} fails"
            raise OwnError(f"{where}: {error.strerror}; mend that, then {go_on()}") from error
        if is_lost_peer(error) and (lost := watch.error(error)) is not None:
            raise lost from error
        raise


def _no_memory(trainer: Any, gan: Any, data: Any) -> str:
    device, size = trainer.strategy.root_device, data.batch_size
    begin = f"out of memory on {device} with datamodule.batch_size={size}: "
    accumulate = getattr(gan, "accumulate", 1)
    packs = max((r.packs for r in gan.regularizers), default=1)
    smaller = smaller_batch(size, trainer.world_size * accumulate * packs)
    if smaller is None:
        return f"{begin}no batch is smaller, so choose smaller networks or images."
    same = f", or model.accumulate={2 * accumulate} for the same updates in half the memory"
    if smaller * 2 != size:
        same = ""
    return f"{begin}try datamodule.batch_size={smaller}{same}"
