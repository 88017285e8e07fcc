"""What a data module reads pictures from, wherever they lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import ClassVar

from zoo.data.pictures import Content, Picture

MOST_BYTES = 2**28
"""The largest file inside an archive; what claims to be larger is no picture."""
MOST_LABELS = 2**29
"""Bytes of a file of labels that lies beside pictures: those of ten million."""
MOST_UNPACKED = 50
"""Times the bytes that a large file inside an archive takes there."""
LARGE = 2**24


def check_unpacked(name: str, unpacked: int, packed: int) -> None:
    """Refuse what is far larger than the bytes it is made of, as neither pictures nor labels are.

    Raises:
        ValueError: it is.
    """
    if unpacked > MOST_BYTES or (unpacked > LARGE and unpacked > MOST_UNPACKED * packed):
        raise ValueError(f"{name} claims to be {unpacked / 1e6:,.0f} MB large in {packed:,} bytes")


class Source(ABC):
    """Pictures in a fixed order, each a row of what is decoded.

    Args:
        place: what it is called in sentences; with a picture's name behind it, what that is called.
        pictures: one a row. Names have forward slashes; folders in them may be splits and classes.

    Attributes:
        others: how many files are no picture, by their ending.
        classes: the class of each picture, None for one without, where the source itself says;
            None where names or a file of labels say.
        class_names: those classes in an order of their own; None for the order of their names.
    """

    may_be_deep: ClassVar[bool] = True
    """Whether a picture may have more than 8 bits a value."""
    has_columns: ClassVar[bool] = False
    """Whether classes are read from a column, which `labels` may name."""
    has_folders: ClassVar[bool] = False
    """Whether the folders in names are the user's own; of others they are splits and shards."""

    def __init__(self, place: str, pictures: Sequence[Picture]) -> None:
        self.place = place
        self.pictures = list(pictures)
        self.others: Counter[str] = Counter()
        self.classes: list[str | None] | None = None
        self.class_names: list[str] | None = None

    @abstractmethod
    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        """The pictures of ascending rows; an error in the place of one that cannot be had."""

    def text(self, name: str) -> str | None:
        """A file of labels that lies beside the pictures; None where there is none.

        Raises:
            OSError, ValueError: it is there and cannot be read.
        """
        return None

    @property
    def key(self) -> str:
        """What its decoded pictures are kept under: newer ones take the place of older ones."""
        return self.place

    def name_of(self, row: int) -> str:
        """What a picture is called in sentences."""
        return f"{self.place}/{self.pictures[row].name}"


class Part(Source):
    """Some rows of a source, in ascending order, whose decoded pictures are kept by themselves."""

    def __init__(self, source: Source, rows: Sequence[int], name: str) -> None:
        super().__init__(source.place, [source.pictures[row] for row in rows])
        self.source, self.rows, self.name = source, rows, name

    @property
    def key(self) -> str:
        return f"{self.source.key} {self.name}"

    def contents(self, rows: Sequence[int]) -> Iterator[Content]:
        return self.source.contents([self.rows[row] for row in rows])
