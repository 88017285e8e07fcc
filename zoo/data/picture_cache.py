"""Decoded pictures in a memory-mapped file, made once per folder, size and number of channels."""

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
"""Counts changes of `decode` that give other pixels."""
CHUNK = 64
CHUNK_BYTES = 2**26
"""How many bytes of pictures fill a chunk."""
WAITING_BYTES = 2**28
"""The most bytes of pictures in chunks that wait for a thread."""
ABANDONED_SECONDS = 24 * 3600
QUIET_SECONDS = 10
"""After which decoding tells of itself where no terminal shows a bar, and between two lines."""
EIGHT_BIT = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".avif")
"""Endings of formats that have 8 bits a value here, so that they need not be opened for it."""
STEM = r"[0-9a-f]{12}-\d+(x\d+)?x\d-[0-9a-f]{20}"
"""The names of a cache's files: hashes of the folder and the pictures, size and channels."""
PARTIAL = STEM + r"[a-z0-9_]{8}\.tmp"  # the random part is by `tempfile`


class Skipped(NamedTuple):
    """A picture that could not be read: its row among all pictures, and the error."""

    row: int
    error: str


class Decoded(NamedTuple):
    """What a folder became: uint8 (N, C, H, W), the rows that could be read, and the scale.

    `value_range` is None where no picture has more than 8 bits.
    """

    images: Tensor
    readable: list[int]
    value_range: ValueRange | None


class Notes(NamedTuple):
    """What stands beside a cached file."""

    skipped: list[Skipped]
    value_range: ValueRange | None


class PictureCache:
    """The decoded pictures of sources, each source as one `.npy` file of uint8 (N, C, H, W).

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
        source: Source,
        image_size: ImageSize,
        channels: int,
        on_error: Literal["raise", "skip"] = "raise",
        value_range: ValueRange | None = None,
    ) -> Decoded:
        """The pictures as uint8 (N, C, H, W), memory-mapped, and the rows that could be read.

        Unreadable pictures are zeros and their rows are not in the list; a warning counts them. A
        damaged file is made anew.

        Args:
            value_range: black and white of pictures of more than 8 bits; None takes the range of
                all of them together.

        Raises:
            ZooError: a picture cannot be read and `on_error` is "raise"; no picture can be; they
                need more room than the limit or the disk allows; the folder cannot be written.
        """
        pictures = source.pictures
        height, width = height_width(image_size)
        sides = f"{height}" if height == width else f"{height}x{width}"
        place = f"{_digest(source.key)[:12]}-{sides}x{channels}"
        given = [] if value_range is None else [value_range]
        key = _digest(json.dumps([VERSION, pictures, *given]))[:20]
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
            raise ZooError(f"The cache of decoded pictures {file} is damaged as soon as written.")
        if skipped and on_error == "raise":
            raise ZooError(skipped[0].error)
        if len(skipped) == len(pictures):
            raise ZooError(f"None of the {len(pictures)} pictures in {source.place} can be read.")
        if skipped:
            warnings.warn(
                f"{len(skipped)} of {len(pictures)} pictures in {source.place} cannot be read and "
                f"were left out, the first is {printable(pictures[skipped[0].row].name)}.",
                ZooWarning,
                stacklevel=2,
            )
        left_out = {entry.row for entry in skipped}
        readable = [row for row in range(len(pictures)) if row not in left_out]
        return Decoded(torch.from_numpy(mapped), readable, notes.value_range)

    def _read_notes(self, file: Path, count: int) -> Notes | None:
        """What was noted when `file` was made of so many pictures; None where it has to be made."""
        try:
            content = json.loads(read_text(file.with_suffix(".json")))
            skipped = [Skipped(*entry) for entry in content["skipped"]]
            scale = content["value_range"]
            notes = Notes(skipped, None if scale is None else ValueRange(*scale))
            if not all(0 <= row < count and isinstance(error, str) for row, error in skipped):
                raise ValueError("it is of other pictures")
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        if not file.exists():
            return None
        with contextlib.suppress(OSError):  # a cache that others share read-only
            os.utime(file)  # the time of last use
        return notes

    def _make_room(self, root: str, needed: int, place: str, own: Path) -> None:
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
                f"The decoded pictures of {root} take {_gb(needed)}, but {self.folder} has "
                f"{_gb(free)} free: name another folder with datamodule.cache_dir=PATH"
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
    """Black and white of all pictures of more than 8 bits together; None without any."""

    def spans(chunk: Chunk) -> list[Span]:
        contents = chunk.contents
        return [span for span in map(deep_span, contents) if span is not None]

    if not source.may_be_deep:
        return None
    names = enumerate(source.pictures)
    rows = [row for row, picture in names if not picture.name.lower().endswith(EIGHT_BIT)]
    with _bar(len(rows), "looking for more than 8 bits") as bar:
        chunks = _chunks_of(source, rows)
        found = joined(s for done in _in_threads(spans, chunks, bar.update) for s in done)
    return None if found is None else range_of(found)


def decode_all(
    source: Source,
    out: Tensor,
    on_error: Literal["raise", "skip"] = "raise",
    value_range: ValueRange | None = None,
    progress: bool = True,
) -> list[Skipped]:
    """Decode the pictures of a source into `out` (N, C, H, W) on all cores; what was skipped."""

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
        for done in _in_threads(decode_some, _chunks_of(source, range(count)), bar.update):
            skipped += done
    return skipped


def _bar(count: int, what: str, hidden: bool = False) -> tqdm[Any]:
    """A bar of pictures; where nobody watches, a line now and then of what takes long."""
    rare = {} if is_terminal(sys.stderr) else {"delay": QUIET_SECONDS, "mininterval": QUIET_SECONDS}
    return tqdm(total=count, desc=what, unit=" pictures", disable=hidden, **rare)


class Chunk(NamedTuple):
    """Pictures that one thread works on: the place of the first, and how many bytes they take."""

    first: int
    contents: list[Content]
    size: int


def _chunks_of(source: Source, rows: Sequence[int]) -> Iterator[Chunk]:
    sizes = (source.pictures[row].size for row in rows)
    return in_chunks(source.contents(rows), sizes)


def in_chunks(contents: Iterable[Content], sizes: Iterable[int] = ()) -> Iterator[Chunk]:
    """Pictures a few at a time, read no earlier than they are asked for.

    Args:
        sizes: of their files, as far as they are known: only small ones gain by being together,
            and many large ones on one thread would leave the others idle.
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
    """The results in order, on all cores; few chunks are read ahead, since they are in memory.

    Args:
        done: is told of how many pictures there is a result.
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
                del chunk  # its thread has it, and lets it go
                while len(waiting) > 2 * count or sum(w[2] for w in waiting) > WAITING_BYTES:
                    yield first()
            while waiting:
                yield first()
        finally:
            for future, *_ in waiting:
                future.cancel()


def _mapped(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The file's images in memory; None where it is missing or damaged.

    Copy-on-write, as torch wants writable memory; nothing here writes to it.
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
    """Delete a cached file; one that another process took away or holds open is left to it."""
    try:
        file.unlink()
        file.with_suffix(".json").unlink(missing_ok=True)
    except OSError:
        return
