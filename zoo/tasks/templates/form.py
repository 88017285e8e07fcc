"""The form of a template: a part and its test, with their heads."""

from __future__ import annotations

from string import Template
from typing import NamedTuple


class Templates(NamedTuple):
    """The part and its test; `$name` and `$Class` are filled in.

    Attributes:
        use: the command that uses the part, with `{program}` and `{name}` to be filled in.
    """

    part: Template
    test: Template
    use: str


_IMPORT = '"""The $kind $name."""\n\nfrom __future__ import annotations\n\n'
_DOC = "One line on what it is, for task=list.\n\n    Paper: Authors (year), title or arXiv."
_TEST = (
    '"""The $kind $name.\n\n'
    '`pytest --plugin $name`, in a clone of the zoo, adds the contract tests.\n"""\n\n'
    "from __future__ import annotations\n\n"
)


def templates(kind: str, part: str, test: str, use: str) -> Templates:
    """The templates of a kind, with headers and with `$kind` and `$doc` filled in."""

    def fill(head: str, body: str) -> Template:
        text = head + body.strip("\n") + "\n"
        return Template(text.replace("$kind", kind).replace("$doc", _DOC))

    return Templates(fill(_IMPORT, part), fill(_TEST, test), use)
