"""Overrides apart and together: keys, values, and how they are quoted."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path


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
        from hydra.core.override_parser.overrides_parser import OverridesParser
        from hydra.errors import HydraException

        with contextlib.suppress(HydraException):  # told later
            return str(OverridesParser.create().parse_override(found[-1]).value())
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


def quote(text: str) -> str:
    """A value as Hydra's grammar takes it, whatever characters it holds."""
    # Backslashes stand for themselves, except before a quote.
    doubled = re.sub(r"(\\+)(?='|$)", r"\1\1", text)
    return "'" + doubled.replace("'", "\\'") + "'"


def argument(key: str, value: str | Path) -> str:
    """An override to be printed: as the shell and Hydra's grammar take it."""
    text = str(value)
    plain = re.fullmatch(r"(?!\.?\d)[\w./:-]+", text, re.ASCII) is not None
    return shlex.quote(f"{key}={text if plain else quote(text)}")


def shown(path: str | Path) -> str:
    """A path relative to the current folder where it lies inside it."""
    path = Path(path)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
