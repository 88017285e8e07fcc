"""A cache of decoded pictures: one memory-mapped file per source, image size and channels."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from zoo.core.atomic import write_json
from zoo.core.errors import ZooError, ZooWarning, printable
from zoo.core.foreign import check_file, read_text
from zoo.core.sizes import ImageSize, height_width
from zoo.core.streams import is_terminal
from zoo.data.pictures import SMALL_JPEG, Content, decode_into, deep_span
from zoo.data.sources.base import Source
from zoo.data.value_range import Span, ValueRange, joined, range_of

R = TypeVar("R")

VERSION = 3
"""The version of the decoded pixels, raised whenever `decode` changes them."""
CHUNK = 64
"""The number of pictures that fill a chunk."""
CHUNK_BYTES = 2**26
"""The number of bytes of pictures that fill a chunk."""
WAITING_BYTES = 2**28
"""The most bytes of pictures that may wait for a thread, over all chunks."""
ABANDONED_SECONDS = 24 * 3600
"""The age at which the partial file of another process is deleted as abandoned."""
QUIET_SECONDS = 10
"""Without a terminal, the time before the first line of progress and between later lines."""
EIGHT_BIT = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".avif")
"""Endings of formats that are decoded to 8 bits per value, whose files need no look inside."""
STEM = r"[0-9a-f]{12}-\d+(x\d+)?x\d-[0-9a-f]{20}"
"""A pattern for the names of cached files: a hash of the source, the image size and channels, and a
hash of the pictures."""
PARTIAL = STEM + r"[a-z0-9_]{8}\.tmp"  # `tempfile` appends the random part


class Skipped(NamedTuple):
    """The row of a picture that could not be read, and the error message."""

    row: int
    error: str


class Decoded(NamedTuple):
    """The decoded pictures of a source.

    Args:
        images: uint8 (N, C, H, W), zeros in the rows that could not be read.
        readable: the rows that could be read.
        value_range: the values of black and white that were used; None if no picture has more than
            8 bits.
    """

    images: Tensor
    readable: list[int]
    value_range: ValueRange | None


class Notes(NamedTuple):
    """The contents of the JSON file next to a cached file."""

    skipped: list[Skipped]
    value_range: ValueRange | None


class PictureCache:
    """A cache that keeps the decoded pictures of each source in one `.npy` file.

    A file holds uint8 (N, C, H, W). It is valid for the names, sizes and modification times of the
    pictures, the image size and the number of channels; if any of these changes, the pictures are
    decoded again and the outdated file is deleted. Files are written under a temporary name and
    renamed, so that no process sees a partial file and several processes may decode the same
    source at once.

    Args:
        folder: the folder of the cached files.
        limit_gb: the limit for all files together, in 10^9 bytes. Files of other sources are
            deleted to make room, the least recently used first.
    """

    def __init__(self, folder: Path, limit_gb: float = 20.0) -> None:
        self.folder = folder
        self.limit = int(limit_gb * 1e9)

    def load(
        self,
        source: Source,
        image_size: ImageSize,
        channels: int,
        on_error: Literal["raise", "skip"] = "raise",
        value_range: ValueRange | None = None,
    ) -> Decoded:
        """Return the decoded pictures of a source, memory-mapped.

        They are decoded if the cache does not have them or its file is damaged.

        Args:
            source: the pictures.
            image_size: the side, or (height, width), in pixels.
            channels: 1 for grey, 3 for RGB.
            on_error: "raise" an error about an unreadable picture, or "skip" it with a warning.
            value_range: the values of black and white in pictures of more than 8 bits; None takes
                the range of all of them together.

        Raises:
            ZooError: pictures cannot be read, they need more space than the limit or the disk
                allows, or the cache folder cannot be written.
        """
        pictures = source.pictures
        height, width = height_width(image_size)
        sides = f"{height}" if height == width else f"{height}x{width}"
        place = f"{_digest(source.key)[:12]}-{sides}x{channels}"
        ranges = [] if value_range is None else [value_range]
        key = _digest(json.dumps([VERSION, pictures, *ranges]))[:20]
        file = self.folder / f"{place}-{key}.npy"
        shape = (len(pictures), channels, height, width)
        notes, mapped = self._read_notes(file, len(pictures)), _mapped(file, shape)
        if notes is None or mapped is None:
            try:
                self._make_room(source.place, int(np.prod(shape)), place, file)
                notes = self._write(file, source, shape, on_error, value_range)
            except OSError as error:
                raise ZooError(
                    f"The cache of decoded pictures {self.folder} cannot be written "
                    f"({error.strerror or error}): name another folder with "
                    "datamodule.cache_dir=PATH"
                ) from error
            mapped = _mapped(file, shape)
        skipped = notes.skipped
        if mapped is None:
            raise ZooError(
                f"The cache of decoded pictures {file} cannot be read although it was just written."
            )
        if skipped and on_error == "raise":
            raise ZooError(skipped[0].error)
        if len(skipped) == len(pictures):
            raise ZooError(f"None of the {len(pictures)} pictures in {source.place} can be read.")
        if skipped:
            warnings.warn(
                f"{len(skipped)} of {len(pictures)} pictures in {source.place} cannot be read and "
                f"were left out; the first is {printable(pictures[skipped[0].row].name)}.",
                ZooWarning,
                stacklevel=2,
            )
        left_out = {entry.row for entry in skipped}
        readable = [row for row in range(len(pictures)) if row not in left_out]
        return Decoded(torch.from_numpy(mapped), readable, notes.value_range)

    def _read_notes(self, file: Path, count: int) -> Notes | None:
        """Read the notes about `file`, which should hold `count` pictures; None if invalid."""
        try:
            content = json.loads(read_text(file.with_suffix(".json")))
            skipped = [Skipped(*entry) for entry in content["skipped"]]
            scale = content["value_range"]
            notes = Notes(skipped, None if scale is None else ValueRange(*scale))
            if not all(0 <= row < count and isinstance(error, str) for row, error in skipped):
                raise ValueError("the notes describe other pictures")
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        if not file.exists():
            return None
        with contextlib.suppress(OSError):  # the cache may be shared read-only
            os.utime(file)  # records the time of last use
        return notes

    def _make_room(self, root: str, needed: int, place: str, own: Path) -> None:
        """Delete outdated and least recently used files until `needed` bytes fit in the cache."""
        if needed > self.limit:
            raise ZooError(
                f"The decoded pictures of {root} take {_gb(needed)}, more than the limit "
                f"of {_gb(self.limit)}: raise datamodule.cache_limit_gb, or lower "
                "datamodule.image_size."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        for partial, stat in self._written(PARTIAL):
            if time.time() - stat.st_mtime > ABANDONED_SECONDS:
                _delete(partial)
        # Another process may have written `own` in the meantime.
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
                f"The decoded pictures of {root} take {_gb(needed)}, but {self.folder} has "
                f"{_gb(free)} free: name another folder with datamodule.cache_dir=PATH"
            )

    def _written(self, pattern: str) -> list[tuple[Path, os.stat_result]]:
        """Return the files whose names match `pattern`; other files are not the cache's own."""
        matches = []
        for file in self.folder.iterdir():
            if re.fullmatch(pattern, file.name):
                with contextlib.suppress(FileNotFoundError):  # another process deleted it
                    matches.append((file, file.stat()))
        return matches

    def _write(
        self,
        file: Path,
        source: Source,
        shape: tuple[int, ...],
        on_error: Literal["raise", "skip"],
        value_range: ValueRange | None,
    ) -> Notes:
        descriptor, name = tempfile.mkstemp(suffix=".tmp", prefix=file.stem, dir=self.folder)
        os.close(descriptor)
        partial = Path(name)
        try:
            mapped = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
            value_range = value_range or range_of_all(source)
            out = torch.from_numpy(mapped)
            notes = Notes(decode_all(source, out, on_error, value_range), value_range)
            mapped.flush()
            write_json(file.with_suffix(".json"), notes._asdict())
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
        return notes


def range_of_all(source: Source) -> ValueRange | None:
    """Return a common black and white for all pictures of more than 8 bits; None without any."""

    def spans(chunk: Chunk) -> list[Span]:
        contents = chunk.contents
        return [span for span in map(deep_span, contents) if span is not None]

    if not source.may_be_deep:
        return None
    names = enumerate(source.pictures)
    rows = [row for row, picture in names if not picture.name.lower().endswith(EIGHT_BIT)]
    with _bar(len(rows), "looking for more than 8 bits") as bar:
        chunks = _chunks_of(source, rows)
        span = joined(s for result in _in_threads(spans, chunks, bar.update) for s in result)
    return None if span is None else range_of(span)


def decode_all(
    source: Source,
    out: Tensor,
    on_error: Literal["raise", "skip"] = "raise",
    value_range: ValueRange | None = None,
    progress: bool = True,
) -> list[Skipped]:
    """Decode the pictures of a source into `out` (N, C, H, W), uint8, and return those skipped.

    Without `value_range`, each picture of more than 8 bits is scaled from its own range.

    Raises:
        ZooError: a picture cannot be read and `on_error` is "raise".
    """

    def decode_some(chunk: Chunk) -> list[Skipped]:
        first, contents, _ = chunk
        rows = range(first, first + len(contents))
        names = [source.name_of(row) for row in rows]
        errors = decode_into(out[first : rows.stop], contents, value_range, names)
        failed = [Skipped(row, str(error)) for row, error in enumerate(errors, first) if error]
        if failed and on_error == "raise":
            raise ZooError(
                f"{failed[0].error}: delete or replace it, or leave such files out with "
                "datamodule.on_error=skip"
            )
        return failed

    skipped: list[Skipped] = []
    count = len(source.pictures)
    with _bar(count, "decoding", hidden=not progress) as bar:
        for failed in _in_threads(decode_some, _chunks_of(source, range(count)), bar.update):
            skipped += failed
    return skipped


def _bar(count: int, what: str, hidden: bool = False) -> tqdm[Any]:
    """Return a progress bar; without a terminal, it prints a line every few seconds at most."""
    rare = {} if is_terminal(sys.stderr) else {"delay": QUIET_SECONDS, "mininterval": QUIET_SECONDS}
    return tqdm(total=count, desc=what, unit=" pictures", disable=hidden, **rare)


class Chunk(NamedTuple):
    """Pictures that one thread processes: the index of the first, and their bytes in memory."""

    first: int
    contents: list[Content]
    size: int


def _chunks_of(source: Source, rows: Sequence[int]) -> Iterator[Chunk]:
    sizes = (source.pictures[row].size for row in rows)
    return in_chunks(source.contents(rows), sizes)


def in_chunks(contents: Iterable[Content], sizes: Iterable[int] = ()) -> Iterator[Chunk]:
    """Group pictures into chunks, reading each picture only when its chunk is needed.

    Args:
        contents: the pictures.
        sizes: the sizes of their files in bytes, as far as known. A large file ends its chunk:
            only small files are faster together, and several large ones on one thread would leave
            the others idle.
    """
    first, chunk, size = 0, [], 0
    for content, taken in zip(contents, itertools.chain(sizes, itertools.repeat(0)), strict=False):
        chunk.append(content)
        size += content.nbytes if isinstance(content, np.ndarray) else 0
        size += len(content) if isinstance(content, bytes) else 0
        if len(chunk) == CHUNK or size >= CHUNK_BYTES or taken > SMALL_JPEG:
            yield Chunk(first, chunk, size)
            first, chunk, size = first + len(chunk), [], 0
    if chunk:
        yield Chunk(first, chunk, size)


def _in_threads(
    work: Callable[[Chunk], R], chunks: Iterable[Chunk], done: Callable[[int], Any] = int
) -> Iterator[R]:
    """Apply `work` to chunks on all cores, and yield the results in order.

    Few chunks are read ahead, to save memory. `done` is called with the pictures of each result.
    """
    count = os.cpu_count() or 1
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[tuple[Future[R], int, int]] = deque()

        def first() -> R:
            future, pictures, _ = waiting.popleft()
            result = future.result()
            done(pictures)
            return result

        try:
            for chunk in chunks:
                waiting.append((pool.submit(work, chunk), len(chunk.contents), chunk.size))
                del chunk  # so that its memory is freed as soon as its thread is done
                while len(waiting) > 2 * count or sum(w[2] for w in waiting) > WAITING_BYTES:
                    yield first()
            while waiting:
                yield first()
        finally:
            for future, *_ in waiting:
                future.cancel()


def _mapped(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """Map the images of a file into memory; None if it is missing or damaged.

    The mapping is copy-on-write, because torch expects writable memory; nothing writes to it.
    """
    try:
        check_file(file)
        mapped = np.load(file, mmap_mode="c")
    except (OSError, ValueError, EOFError):
        return None
    return mapped if mapped.shape == shape and mapped.dtype == np.uint8 else None


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.2g} MB"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _delete(file: Path) -> None:
    """Delete a cached file, unless another process has deleted it already or holds it open."""
    try:
        file.unlink()
        file.with_suffix(".json").unlink(missing_ok=True)
    except OSError:
        return
