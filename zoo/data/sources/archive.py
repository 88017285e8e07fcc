"""Pictures in a zip file, which is read without unpacking it."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from zoo.core.errors import ZooError
from zoo.data.finding import SUFFIXES, Picture
from zoo.data.layout import SPLIT_FOLDERS
from zoo.data.pictures import Content
from zoo.data.sources.base import Source, check_unpacked

ENCRYPTED = 0x1
"""The flag of encrypted entries in the zip format."""


class ZipArchive(Source):
    """The pictures of a zip file, with or without a `dataset.json` of StyleGAN's data set tool.

    A folder that contains the whole archive is dropped from the names, such as `pets/` in
    `pets.zip`. No more bytes of a file are read than the archive's directory states, and this
    number is limited.

    Raises:
        ZooError: the file is not a zip file, is encrypted, has no pictures, or has names that lead
            out of it.
    """

    has_folders = True

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with zipfile.ZipFile(file) as opened:
                entries = [entry for entry in opened.infolist() if not entry.is_dir()]
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise ZooError(
                f"{file} cannot be read as a zip file ({error}): it is damaged, incomplete or not "
                "a zip file."
            ) from error
        visible = {entry.filename: entry for entry in entries if not _is_hidden(entry.filename)}
        for name, entry in visible.items():
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in path.parts[0]:
                raise ZooError(
                    f"{file} holds {name!r}, a name that leads out of it: pack it again from "
                    "within the folder of the pictures."
                )
            if entry.flag_bits & ENCRYPTED:
                raise ZooError(f"{file} is encrypted: pack the pictures without a password.")
        skipped = _common_folder(list(visible))
        self.entries = {name[skipped:]: entry for name, entry in visible.items()}
        names = sorted(n for n in self.entries if PurePosixPath(n).suffix.lower() in SUFFIXES)
        if not names:
            raise ZooError(
                f"There is no picture in {file}: none of its {len(self.entries)} files ends in "
                f"{', '.join(SUFFIXES)}."
            )
        # The checksum replaces the modification time, which archives round to two seconds.
        named = [(name, self.entries[name]) for name in names]
        super().__init__(str(file), [Picture(n, e.file_size, e.CRC) for n, e in named])
        for name in self.entries.keys() - set(names):
            self.others[PurePosixPath(name).suffix.lower()] += 1

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        with zipfile.ZipFile(self.file) as opened:
            for row in rows:
                try:
                    yield self._read(opened, self.pictures[row].name)
                except Exception as error:  # damage raises errors of many types
                    yield error

    def text(self, name: str) -> str | None:
        if name not in self.entries:
            return None
        with zipfile.ZipFile(self.file) as opened:
            try:
                return self._read(opened, name).decode("utf-8-sig")
            except Exception as error:  # damage raises errors of many types
                raise ValueError(str(error)) from error

    def _read(self, opened: zipfile.ZipFile, name: str) -> bytes:
        entry = self.entries[name]
        check_unpacked("it", entry.file_size, entry.compress_size)
        with opened.open(entry) as file:
            return file.read(entry.file_size)


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return parts[0] == "__MACOSX" or any(p.startswith(".") and p != ".." for p in parts)


def _common_folder(names: list[str]) -> int:
    """The length of the folders that all names begin with, up to one that is a split."""
    length = 0
    while True:
        tops = {name[length:].split("/", 1)[0] if "/" in name[length:] else "" for name in names}
        top = tops.pop() if len(tops) == 1 else ""
        if not top or top.casefold() in SPLIT_FOLDERS:
            return length
        length += len(top) + 1
