"""Decoded pictures in a memory-mapped file, made once per folder, size and number of channels."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zoo.core.errors import ZooError
from zoo.data.pictures import Picture, decode_into

VERSION = 2
"""Counts changes of `decode` that give other pixels."""
CHUNK = 64
ABANDONED_SECONDS = 24 * 3600
STEM = r"[0-9a-f]{12}-\d+x\d-[0-9a-f]{20}"
"""Of the files that a cache writes: folder, size and channels, pictures."""
PARTIAL = STEM + r"[a-z0-9_]{8}\.tmp"  # the random part is by `tempfile`


class Skipped(NamedTuple):
    """A picture that could not be read: its row among all pictures, and the error."""

    row: int
    error: str


class PictureCache:
    """The decoded pictures of folders, each folder as one `.npy` file of uint8 (N, C, S, S).

    A file belongs to the names, sizes and change times of the pictures, the image size and the
    channels; where one of these differs, the pictures are decoded again and the outdated file is
    deleted. Files are written beside their place and renamed, so that a process never sees half of
    one, and two that decode the same folder at once do no harm to each other.

    Args:
        folder: where the files lie.
        limit_gb: of all files together, in 10^9 bytes. Files of other folders are deleted to make
            room, the longest unused first.
    """

    def __init__(self, folder: Path, limit_gb: float = 20.0) -> None:
        self.folder = folder
        self.limit = int(limit_gb * 1e9)

    def load(
        self,
        root: Path,
        pictures: Sequence[Picture],
        image_size: int,
        channels: int,
        on_error: Literal["raise", "skip"] = "raise",
    ) -> tuple[Tensor, list[int]]:
        """The pictures as uint8 (N, C, S, S), memory-mapped, and the rows that could be read.

        Unreadable pictures are zeros and their rows are not in the list; a warning counts them.

        Raises:
            ZooError: a picture cannot be read and `on_error` is "raise"; no picture can be; they
                need more room than the limit or the disk allows; the folder cannot be written.
        """
        place = f"{_digest(str(root))[:12]}-{image_size}x{channels}"
        key = _digest(json.dumps([VERSION, pictures]))[:20]
        file = self.folder / f"{place}-{key}.npy"
        skipped = self._read_skipped(file)
        if skipped is None:
            shape = (len(pictures), channels, image_size, image_size)
            try:
                self._make_room(root, int(np.prod(shape)), place, file)
                skipped = self._write(file, root, pictures, shape, on_error)
            except OSError as error:
                raise ZooError(
                    f"The cache of decoded pictures {self.folder} cannot be written "
                    f"({error.strerror or error}): name another folder with datamodule.cache_dir=."
                ) from error
        if skipped and on_error == "raise":
            raise ZooError(skipped[0].error)
        if len(skipped) == len(pictures):
            raise ZooError(f"None of the {len(pictures)} pictures in {root} can be read.")
        if skipped:
            warnings.warn(
                f"{len(skipped)} of {len(pictures)} pictures in {root} cannot be read and were "
                f"left out, the first is {pictures[skipped[0].row].name}.",
                stacklevel=2,
            )
        # Copy-on-write, as torch wants writable memory; nothing here writes to it.
        images = torch.from_numpy(np.load(file, mmap_mode="c"))
        left_out = {entry.row for entry in skipped}
        return images, [row for row in range(len(pictures)) if row not in left_out]

    def _read_skipped(self, file: Path) -> list[Skipped] | None:
        """What was skipped when `file` was made; None where it has to be made."""
        try:
            entries = json.loads(file.with_suffix(".json").read_text())
        except (OSError, ValueError):
            return None
        if not file.exists():
            return None
        with contextlib.suppress(OSError):  # a cache that others share read-only
            os.utime(file)  # the time of last use
        return [Skipped(*entry) for entry in entries]

    def _make_room(self, root: Path, needed: int, place: str, own: Path) -> None:
        if needed > self.limit:
            raise ZooError(
                f"The decoded pictures of {root} take {needed / 1e9:.1f} GB, more than the limit "
                f"of {self.limit / 1e9:.1f} GB: raise datamodule.cache_limit_gb, or lower "
                "datamodule.image_size."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        for partial, stat in self._written(PARTIAL):
            if time.time() - stat.st_mtime > ABANDONED_SECONDS:
                _delete(partial)
        # Another process may have made `own` since it was looked for.
        others = [entry for entry in self._written(STEM + r"\.npy") if entry[0] != own]
        used = sum(stat.st_size for _, stat in others)
        outdated = {file for file, _ in others if file.name.startswith(f"{place}-")}
        for file, stat in sorted(others, key=lambda e: (e[0] not in outdated, e[1].st_mtime)):
            if file in outdated or used + needed > self.limit:
                used -= stat.st_size
                _delete(file)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise ZooError(
                f"The decoded pictures of {root} take {needed / 1e9:.1f} GB, but {self.folder} has "
                f"{free / 1e9:.1f} GB free: name another folder with datamodule.cache_dir=."
            )

    def _written(self, pattern: str) -> list[tuple[Path, os.stat_result]]:
        """The files here that a cache wrote under such names; all others are somebody else's."""
        found = []
        for file in self.folder.iterdir():
            if re.fullmatch(pattern, file.name):
                with contextlib.suppress(FileNotFoundError):  # another process took it away
                    found.append((file, file.stat()))
        return found

    def _write(
        self,
        file: Path,
        root: Path,
        pictures: Sequence[Picture],
        shape: tuple[int, ...],
        on_error: Literal["raise", "skip"],
    ) -> list[Skipped]:
        descriptor, name = tempfile.mkstemp(suffix=".tmp", prefix=file.stem, dir=self.folder)
        os.close(descriptor)
        partial = Path(name)
        try:
            mapped = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
            skipped = decode_all(root, pictures, torch.from_numpy(mapped), on_error)
            mapped.flush()
            _write_text(file.with_suffix(".json"), json.dumps(skipped))
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
        return skipped


def decode_all(
    root: Path,
    pictures: Sequence[Picture],
    out: Tensor,
    on_error: Literal["raise", "skip"] = "raise",
) -> list[Skipped]:
    """Decode pictures below `root` into `out` (N, C, S, S) on all cores; what was skipped."""

    def decode_some(first: int) -> list[Skipped]:
        paths = [f"{root}/{picture.name}" for picture in pictures[first : first + CHUNK]]
        errors = decode_into(out[first : first + CHUNK], paths)
        failed = [Skipped(row, str(error)) for row, error in enumerate(errors, first) if error]
        if failed and on_error == "raise":
            raise ZooError(failed[0].error)
        return failed

    skipped: list[Skipped] = []
    # `disable=None`: no bar where nobody watches.
    bar = tqdm(total=len(pictures), desc="decoding", unit=" pictures", disable=None)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(decode_some, range(0, len(pictures), CHUNK)):
            skipped += done
            bar.update(CHUNK)
    return skipped


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _write_text(file: Path, text: str) -> None:
    descriptor, partial = tempfile.mkstemp(suffix=".tmp", prefix=file.stem, dir=file.parent)
    with open(descriptor, "w") as opened:
        opened.write(text)
    os.replace(partial, file)


def _delete(file: Path) -> None:
    """Delete a cached file; one that another process took away or holds open is left to it."""
    try:
        file.unlink()
        file.with_suffix(".json").unlink(missing_ok=True)
    except OSError:
        return
