"""Pictures in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from zoo.core.foreign import read_text
from zoo.data.finding import find_pictures
from zoo.data.pictures import Content
from zoo.data.sources.base import MOST_LABELS, Source


class Folder(Source):
    """All picture files below a folder.

    Raises:
        ZooError: there is no such folder, or it has no pictures.
    """

    has_folders = True

    def __init__(self, root: Path) -> None:
        others: Counter[str] = Counter()
        super().__init__(str(root), find_pictures(root, others))
        self.root, self.others = root, others

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        return (self.name_of(row) for row in rows)

    def text(self, name: str) -> str | None:
        file = self.root / name
        return read_text(file, MOST_LABELS, "utf-8-sig") if file.is_file() else None
