"""Put templates together: a part and its test, with their module docstrings and imports."""

from __future__ import annotations

from string import Template
from typing import NamedTuple


class Templates(NamedTuple):
    """The templates of a kind.

    Attributes:
        part: the file of the part, with the placeholders `$name` and `$Class`.
        test: the file of its test, with the same placeholders.
        use: the command that uses the part, with the placeholders `{program}` and `{name}`.
    """

    part: Template
    test: Template
    use: str


_IMPORT = '"""The $kind $name."""\n\nfrom __future__ import annotations\n\n'
_DOC = "Describe it in one line, for task=list.\n\n    Paper: Authors (year), title or arXiv."
_TEST = (
    '"""The $kind $name.\n\n'
    'In a clone of the zoo, `pytest --plugin $name` also runs the contract tests.\n"""\n\n'
    "from __future__ import annotations\n\n"
)


def templates(kind: str, part: str, test: str, use: str) -> Templates:
    """Return the templates of a kind, with headers, `$kind` and `$doc` filled in."""

    def fill(head: str, body: str) -> Template:
        text = head + body.strip("\n") + "\n"
        return Template(text.replace("$kind", kind).replace("$doc", _DOC))

    return Templates(fill(_IMPORT, part), fill(_TEST, test), use)
