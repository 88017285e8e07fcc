"""The interface through which data modules read pictures, wherever these are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from zoo.data.finding import Picture
from zoo.data.pictures import Content

MOST_BYTES = 2**28
"""The most bytes of a file inside an archive; no picture is larger."""
MOST_LABELS = 2**29
"""The most bytes of a label file, enough for ten million pictures."""
MOST_UNPACKED = 50
"""The highest compression ratio of a large file inside an archive."""
LARGE = 2**24
"""The number of bytes from which a file inside an archive is large."""


def check_unpacked(name: str, unpacked: int, packed: int) -> None:
    """Refuse a compressed file that claims to be implausibly large for its compressed bytes.

    Raises:
        ValueError: the file is larger than any picture or label file.
    """
    if unpacked > MOST_BYTES or (unpacked > LARGE and unpacked > MOST_UNPACKED * packed):
        raise ValueError(f"{name} claims to be {unpacked / 1e6:,.0f} MB large in {packed:,} bytes")


class Source(ABC):
    """A sequence of pictures in a fixed order, each identified by its row.

    Args:
        place: the path or name of the source, as shown in messages.
        pictures: the pictures, one per row. Their names are paths with forward slashes, whose
            folders may be splits and classes.

    Attributes:
        others: the number of files that are not pictures, by their ending.
        classes: the class of each picture (None for a picture without one) if the source itself
            has classes; None if they come from the names or from a label file.
        class_names: the names of these classes in the source's own order; None to sort them.
    """

    may_be_deep: ClassVar[bool] = True
    """Whether pictures may have more than 8 bits per value."""
    has_columns: ClassVar[bool] = False
    """Whether classes are read from a column, which the option `labels` may name."""
    has_folders: ClassVar[bool] = False
    """Whether the folders in names are the user's own; if not, they are splits and shards."""

    def __init__(self, place: str, pictures: Sequence[Picture]) -> None:
        self.place = place
        self.pictures = list(pictures)
        self.others: Counter[str] = Counter()
        self.classes: list[str | None] | None = None
        self.class_names: list[str] | None = None

    @abstractmethod
    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        """Yield the pictures of ascending rows, or an exception for one that cannot be read."""

    def text(self, name: str) -> str | None:
        """Return the text of a label file stored with the pictures, or None if there is none.

        Raises:
            OSError, ValueError: the file exists but cannot be read.
        """
        return None

    @property
    def key(self) -> str:
        """The name under which the cache keeps the decoded pictures, replacing older ones."""
        return self.place

    def name_of(self, row: int) -> str:
        """Return the full name of a picture, as shown in messages."""
        return f"{self.place}/{self.pictures[row].name}"


class Part(Source):
    """Some rows of a source in ascending order, which the cache keeps under their own name."""

    def __init__(self, source: Source, rows: Sequence[int], name: str) -> None:
        super().__init__(source.place, [source.pictures[row] for row in rows])
        self.source, self.rows, self.name = source, rows, name

    @property
    def key(self) -> str:
        return f"{self.source.key} {self.name}"

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        return self.source.contents([self.rows[row] for row in rows])
