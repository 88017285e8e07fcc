"""WebDataset shards: tar files in which the files of each sample share a name up to the ending."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import tarfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from zoo.core.atomic import write_text
from zoo.core.cache import cache_dir
from zoo.core.errors import ZooError, ZooWarning
from zoo.core.foreign import read_text
from zoo.data.finding import SUFFIXES, Picture
from zoo.data.layout import LABEL_COLUMNS, class_name
from zoo.data.pictures import JPEG, Content, deep_span
from zoo.data.sources.base import MOST_BYTES, Source

VERSION = 1
"""The version of the index, raised whenever `Sample` changes."""
MOST_INDEX = 2**30
"""The most bytes of the index of a place, which takes about a hundred per sample."""
MOST_TEXT = 2**16
"""The most bytes of the `.cls` or `.json` file of a sample."""


class Sample(NamedTuple):
    """A sample of a shard: the name of its picture, its offset and size in bytes, and its class."""

    name: str
    offset: int
    size: int
    label: str | None


def shards_of(place: str | Path) -> list[Path]:
    """Return the tar files that a file name, a pattern or a folder stands for, sorted.

    Patterns are `train-{000..015}.tar`, `{a,b}.tar` and `*.tar`. The shards of a folder are those
    in it and in its sub-folders of the first level, such as `train` and `val`.
    """
    path = Path(place)
    if path.is_dir():
        return sorted([*path.glob("*.tar"), *path.glob("*/*.tar")])
    if path.is_file():
        return [path] if path.suffix.lower() == ".tar" else []
    files = [Path(f) for text in _expanded(str(place)) for f in sorted(glob.glob(text)) or [text]]
    return sorted(files) if files and all(f.suffix.lower() == ".tar" for f in files) else []


def _expanded(text: str) -> list[str]:
    """Expand braces as a shell does: lists `{a,b}` and ranges `{000..015}`."""
    match = re.search(r"\{([^{}]*)\}", text)
    if match is None:
        return [text]
    span = re.fullmatch(r"(\d+)\.\.(\d+)", match[1])
    if span is None:
        choices = match[1].split(",")
    else:
        width = len(span[1])
        choices = [f"{n:0{width}}" for n in range(int(span[1]), int(span[2]) + 1)]
    before, behind = text[: match.start()], text[match.end() :]
    return [whole for choice in choices for whole in _expanded(before + choice + behind)]


class Shards(Source):
    """The pictures of shards, with classes from `.cls` files or from `label` in `.json` files.

    The position of each picture is determined once and kept in a cached index, so that any picture
    can be read without those before it.

    Attributes:
        groups: the rows of each shard.
        takes_deep: whether pictures may have more than 8 bits. If not, reading one raises a
            `ZooError`: pictures that are read one by one have no range in common.

    Raises:
        ZooError: a shard is missing, compressed or not a tar file, or the shards have no pictures.
    """

    def __init__(self, place: str | Path) -> None:
        self.files = shards_of(place)
        missing = next((file for file in self.files if not file.is_file()), None)
        if missing is not None:
            raise ZooError(f"The shard {missing} of {place} does not exist.")
        root = os.path.commonpath([file.parent for file in self.files])
        self.samples: list[Sample] = []
        self.file_of: list[int] = []
        self.groups: list[range] = []
        self.takes_deep = True
        pictures = []
        index = _Index(place)
        for number, file in enumerate(self.files):
            changed = file.stat().st_mtime_ns
            samples = index.samples(file)
            self.groups.append(range(len(self.samples), len(self.samples) + len(samples)))
            self.samples += samples
            self.file_of += [number] * len(samples)
            name = file.relative_to(root).as_posix()
            pictures += [Picture(f"{name}/{s.name}", s.size, changed) for s in samples]
        index.save()
        if not self.samples:
            raise ZooError(
                f"There is no picture in the {len(self.files)} shards of {place}: the files of a "
                "sample should be called, for instance, 000017.jpg and 000017.cls."
            )
        super().__init__(str(place), pictures)
        if any(sample.label is not None for sample in self.samples):
            self.classes = [sample.label for sample in self.samples]

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        at, opened = -1, None
        try:
            for row in rows:
                if self.file_of[row] != at:
                    if opened is not None:
                        opened.close()
                    at = self.file_of[row]
                    opened = open(self.files[at], "rb")  # noqa: SIM115  # closed with the next one
                assert opened is not None
                sample = self.samples[row]
                if sample.size > MOST_BYTES:
                    yield ValueError(f"it claims to be {sample.size / 1e6:,.0f} MB large")
                    continue
                opened.seek(sample.offset)
                content = opened.read(sample.size)
                if not self.takes_deep:
                    self._check_depth(row, content)
                yield content
        finally:
            if opened is not None:
                opened.close()

    def _check_depth(self, row: int, content: bytes) -> None:
        if content.startswith(JPEG) or deep_span(content) is None:
            return
        raise ZooError(
            f"{self.name_of(row)} has more than 8 bits, and shards are not searched for the range "
            "of such pictures before training: set the values of black and white with, for "
            "instance, datamodule.value_range=[0,65535]"
        )


class _Index:
    """The positions of all samples in shards, kept in the cache between runs."""

    def __init__(self, place: str | Path) -> None:
        digest = hashlib.sha256(str(place).encode(errors="surrogateescape")).hexdigest()
        self.path = cache_dir() / f"shards-{digest[:20]}.json"
        self.cached: dict[str, Any] = {}
        with suppress(OSError, ValueError, RecursionError):  # without an index, shards are scanned
            content = json.loads(read_text(self.path, MOST_INDEX))
            shards = content.get("shards") if isinstance(content, dict) else None
            if isinstance(shards, dict) and content.get("version") == VERSION:
                self.cached = shards
        self.current: dict[str, Any] = {}

    def samples(self, file: Path) -> list[Sample]:
        """Return the samples of a shard, which is scanned if the cached index lacks it."""
        stat = file.stat()
        key = f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        self.current[key] = self.cached[key] if key in self.cached else _samples_in(file)
        try:
            return [Sample(*entry) for entry in self.current[key]]
        except TypeError:  # the index is damaged
            self.current[key] = _samples_in(file)
            return self.current[key]

    def save(self) -> None:
        """Write the index of the shards looked up so far, if it changed."""
        if self.current != self.cached or not self.path.exists():
            with suppress(OSError):  # without an index, shards are scanned again next time
                write_text(self.path, json.dumps({"version": VERSION, "shards": self.current}))


def _samples_in(file: Path) -> list[Sample]:
    """Scan a shard for its samples."""
    samples: list[Sample] = []
    key: str | None = None
    picture: tuple[str, int, int] | None = None
    label: str | None = None

    def finish() -> None:
        if picture is not None:
            samples.append(Sample(*picture, label))

    try:
        with tarfile.open(file, "r:") as opened:
            for member in opened:
                if member.size < 0:  # the next member would lie before it, in an endless loop
                    raise ValueError(f"{member.name[:100]!r} claims to have {member.size} bytes")
                name = member.name.removeprefix("./")
                folder, _, base = name.rpartition("/")
                stem, dot, ending = base.partition(".")
                if not member.isreg() or not dot or not stem:
                    continue
                own = f"{folder}/{stem}" if folder else stem
                if own != key:
                    finish()
                    key, picture, label = own, None, None
                ending = ending.lower()
                if f".{ending.rpartition('.')[2]}" in SUFFIXES:
                    picture = picture or (name, member.offset_data, member.size)
                elif ending in ("cls", "json") and member.size <= MOST_TEXT:
                    content = opened.extractfile(member)
                    text = content.read().decode() if content is not None else ""
                    label = _label(ending, text) if ending == "cls" or label is None else label
                opened.members = []  # type: ignore[attr-defined]  # frees memory kept for look-ups
            finish()
            _check_end(file, opened.offset)  # type: ignore[attr-defined]
    except (OSError, ValueError, tarfile.TarError, EOFError, RecursionError) as error:
        packed = ": shards must not be compressed, so unpack .gz" if _is_packed(file) else ""
        raise ZooError(f"{file} cannot be read as a tar file ({error}){packed}.") from error
    return samples


def _check_end(file: Path, at: int) -> None:
    """Refuse a shard that is damaged at byte `at`, where `tarfile` silently takes it to end.

    A tar file ends in zeros. If it ends without them, because it was not written completely, this
    function only warns.

    Raises:
        ValueError: there is something other than zeros.
    """
    with open(file, "rb") as opened:
        opened.seek(at)
        block = opened.read(tarfile.BLOCKSIZE)
    if not block:
        warnings.warn(
            f"{file} has no end-of-archive marker, probably because it was only partly copied or "
            "written: the pictures that it has are used.",
            ZooWarning,
            stacklevel=2,
        )
    elif len(block) < tarfile.BLOCKSIZE or any(block):
        what = "unexpected end of data" if len(block) < tarfile.BLOCKSIZE else "damaged"
        raise ValueError(f"{what} at byte {at:,}")


def _label(ending: str, text: str) -> str | None:
    if ending == "cls":
        return text.strip() or None
    content = json.loads(text)
    if not isinstance(content, dict):
        return None
    value = next((content[name] for name in LABEL_COLUMNS if name in content), None)
    return class_name(value)


def _is_packed(file: Path) -> bool:
    with suppress(OSError), open(file, "rb") as opened:
        return opened.read(2) == b"\x1f\x8b"
    return False
