"""Overrides apart and together: keys, values, and how they are quoted."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
from pathlib import Path
from typing import Any


def key_of(override: str) -> str:
    """The option or group that an override is about."""
    return override.split("=", 1)[0].lstrip("+~")


def value_of(arguments: list[str], key: str) -> str | None:
    """What `key` is set to, by its last override; None without one."""
    found = [a for a in arguments if "=" in a and key_of(a) == key]
    if not found:
        return None
    text = found[-1].split("=", 1)[1]
    if text[:1] in ("'", '"'):  # which has backslashes of its own
        from hydra.errors import HydraException

        with contextlib.suppress(HydraException):  # told later
            return str(override_parser().parse_override(found[-1]).value())
    return text


def with_home(override: str) -> str:
    """An override with the home folder where a value, or one of several, begins with `~/`.

    A shell expands it only where it can read the word as an assignment, which has no dot in its
    name, and Hydra's grammar knows no tilde.
    """
    key, sign, values = override.partition("=")

    def expanded(match: re.Match[str]) -> str:
        before, mark, path = match.groups()
        home = os.path.expanduser(path)
        if mark or home == path or re.fullmatch(r"[\w./-]+", home, re.ASCII):
            return f"{before}{mark}{home}"
        return quote(before + home) if before == "file:" else f"{before}{quote(home)}"

    found = re.sub(r"(^|[\[,]\s*|^file:)(['\"]?)(~[^,\]'\"]*)", expanded, values)
    return f"{key}{sign}{found}"


def with_text(override: str) -> str:
    """An override whose value is quoted where Hydra's grammar does not take it as it stands.

    A path with an umlaut, a bracket or `=` is what a user has, and nothing of the grammar; the name
    of a file with a comma, or one that reads as a number (`2024_01`), is meant as the name.
    """
    key, sign, value = override.partition("=")
    if not sign or re.fullmatch(r"(?!\d+_)[\w./:+-]*", value, re.ASCII) or "${" in value:
        return override
    if value[0] in "'\"{" or (value[0] == "[" and value[-1] != "]") or _is_function(value):
        return override
    if _reads(override):
        changed = "," in value or re.fullmatch(r"\d+(_\d+)+", value)
        is_name = changed and value[0] != "[" and os.path.lexists(value)
        return f"{key}={quote(value)}" if is_name else override
    before, inside, after = ("[", value[1:-1], "]") if value[0] == "[" else ("", value, "")
    pieces = [inside] if not before and os.path.lexists(value) else inside.split(",")
    read = (p if _reads(f"{key}={p}") else quote(p.strip()) for p in pieces)
    quoted = f"{key}={before}{','.join(read)}{after}"
    return quoted if _reads(quoted) else override


def _is_function(value: str) -> bool:
    """Whether a value calls one of the grammar's functions, as `interval(0,1)`."""
    called = re.match(r"(\w+)\(", value)
    return called is not None and called[1] in override_parser().functions.functions


def _reads(override: str) -> bool:
    """Whether Hydra's grammar takes an override."""
    try:
        override_parser().parse_override(override)
    except Exception:  # Hydra's, and the grammar's own mistakes
        return False
    return True


@functools.cache
def override_parser() -> Any:
    """Hydra's parser of overrides, made once."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create()


def quote(text: str) -> str:
    """A value as Hydra's grammar takes it, whatever characters it holds."""
    # Backslashes stand for themselves, except before a quote.
    doubled = re.sub(r"(\\+)(?='|$)", r"\1\1", text)
    return "'" + doubled.replace("'", "\\'") + "'"


def argument(key: str, value: str | Path) -> str:
    """An override to be printed: as the shell and Hydra's grammar take it."""
    text = str(value)
    plain = re.fullmatch(r"(?!\.?\d)[\w./:-]+", text, re.ASCII) is not None
    return in_shell(f"{key}={text if plain else quote(text)}")


def in_shell(word: str) -> str:
    """A word as a shell takes it, in double quotes where single ones would have to be broken up."""
    if "'" in word and not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    return shlex.quote(word)
