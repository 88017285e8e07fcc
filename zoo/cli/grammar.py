"""Take overrides apart, put them together, and quote them for Hydra's grammar and for a shell."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
from pathlib import Path
from typing import Any


def key_of(override: str) -> str:
    """Return the option or group that an override sets or chooses."""
    return override.split("=", 1)[0].lstrip("+~")


def value_of(arguments: list[str], key: str) -> str | None:
    """Return the value that the last override of `key` sets, or None without one."""
    matches = [a for a in arguments if "=" in a and key_of(a) == key]
    if not matches:
        return None
    text = matches[-1].split("=", 1)[1]
    if text[:1] in ("'", '"'):  # remove the quotes and backslashes of Hydra's grammar
        from hydra.errors import HydraException

        with contextlib.suppress(HydraException):  # reported when the command line is checked
            return str(override_parser().parse_override(matches[-1]).value())
    return text


def with_home(override: str) -> str:
    """Expand `~/` to the home folder where a value, or one of several values, begins with it.

    A shell expands it only in words that look like an assignment, whose names have no dot, and
    Hydra's grammar does not allow a tilde.
    """
    key, sign, values = override.partition("=")

    def expanded(match: re.Match[str]) -> str:
        before, mark, path = match.groups()
        home = os.path.expanduser(path)
        if mark or home == path or re.fullmatch(r"[\w./-]+", home, re.ASCII):
            return f"{before}{mark}{home}"
        return quote(before + home) if before == "file:" else f"{before}{quote(home)}"

    values = re.sub(r"(^|[\[,]\s*|^file:)(['\"]?)(~[^,\]'\"]*)", expanded, values)
    return f"{key}{sign}{values}"


def with_text(override: str) -> str:
    """Quote the value of an override where Hydra's grammar would reject or misread it.

    The grammar rejects paths with, for example, an umlaut, a bracket or `=`. It would read a comma
    in a file's name as several values, and a name such as `2024_01` as a number.
    """
    key, sign, value = override.partition("=")
    if not sign or re.fullmatch(r"(?!\d+_)[\w./:+-]*", value, re.ASCII) or "${" in value:
        return override
    if value[0] in "'\"{" or (value[0] == "[" and value[-1] != "]") or _is_function(value):
        return override
    if _is_valid(override):
        misread = "," in value or re.fullmatch(r"\d+(_\d+)+", value)
        is_name = misread and value[0] != "[" and os.path.lexists(value)
        return f"{key}={quote(value)}" if is_name else override
    before, inside, after = ("[", value[1:-1], "]") if value[0] == "[" else ("", value, "")
    pieces = [inside] if not before and os.path.lexists(value) else inside.split(",")
    valid = (p if _is_valid(f"{key}={p}") else quote(p.strip()) for p in pieces)
    quoted = f"{key}={before}{','.join(valid)}{after}"
    return quoted if _is_valid(quoted) else override


def _is_function(value: str) -> bool:
    """Whether a value calls one of the grammar's functions, such as `interval(0,1)`."""
    call = re.match(r"(\w+)\(", value)
    return call is not None and call[1] in override_parser().functions.functions


def _is_valid(override: str) -> bool:
    """Whether Hydra's grammar accepts an override."""
    try:
        override_parser().parse_override(override)
    except Exception:  # Hydra's own, or one from a bug in its grammar
        return False
    return True


@functools.cache
def override_parser() -> Any:
    """Return Hydra's parser of overrides, which is created once."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create()


def quote(text: str) -> str:
    """Quote a value so that Hydra's grammar accepts it, whatever characters it contains."""
    # The grammar takes backslashes literally, except before a quote.
    doubled = re.sub(r"(\\+)(?='|$)", r"\1\1", text)
    return "'" + doubled.replace("'", "\\'") + "'"


def argument(key: str, value: str | Path) -> str:
    """Return an override for a printed command, quoted for both the shell and Hydra's grammar."""
    text = str(value)
    plain = re.fullmatch(r"(?!\.?\d)[\w./:-]+", text, re.ASCII) is not None
    return in_shell(f"{key}={text if plain else quote(text)}")


def in_shell(word: str) -> str:
    """Quote a word for a shell, in double quotes if it contains single ones."""
    if "'" in word and not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    return shlex.quote(word)
