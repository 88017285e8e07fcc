"""Check the description in a file before anything is built from it.

Files may come from anybody, and their descriptions may hold values of any type, depth and size.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.core.errors import ZooError, with_article

FORMAT = 1
"""The version of the description's format; it increases when older versions cannot read it."""

DEEPEST = 50
"""The deepest nesting of containers in a description."""
MOST = 1_000_000
"""The largest number of values in a description."""
LONGEST = 1000
"""The largest number of characters in the name of a class, a part or a data set."""
LARGEST = {"image_size": 65_536, "channels": 65_536, "latent_dim": 10**7, "num_classes": 10**6}
"""The largest values of options that determine the size of a network or its data."""
LARGEST_NUMBER = 2**63
"""The largest absolute value of an integer in a description."""
_PARTS = ("generator", "discriminator", "loss", "latent")


def check_info(info: Any, file: Path) -> dict[str, Any]:
    """Check a description, and return it.

    Raises:
        ZooError: it is not a valid description, or was written by a newer version of the zoo.
    """
    version = info.get("format") if isinstance(info, dict) else None
    if type(version) is not int:
        raise ZooError(f"{file} has a description that this zoo cannot read.")
    _check_extent(info, file)
    if version > FORMAT:
        raise ZooError(
            f"{file} has format {str(version)[:20]}, written by zoo "
            f"{str(info.get('version'))[:20]}; this zoo reads up to format {FORMAT}: update it."
        )
    generator, data = info.get("generator"), info.get("data")
    if not isinstance(data, dict) or not is_spec(generator):
        raise ZooError(f"{file} has a description without its generator or its data.")
    for part in _PARTS:
        _check_part(part, info.get(part), file)
    check_numbers(data, "data", file)
    if len(str(data.get("name"))) > LONGEST:
        raise ZooError(f"{file} has the name of a data set in its description that is too long.")
    _check_names(data.get("class_names"), file)
    if not isinstance(data.get("options") or {}, dict):
        raise ZooError(f"{file} has data.options in its description that are not a mapping.")
    seen, weights = info.get("images_seen", 0), info.get("weights", "raw")
    if type(seen) is not int or seen < 0:
        raise ZooError(f"{file} has images_seen={seen} in its description, which must be a count.")
    if weights not in ("ema", "raw"):
        raise ZooError(
            f"{file} has weights={str(weights)[:20]} in its description, which must be ema or raw."
        )
    _check_start(info.get("start"), file)
    sources = info.get("sources") or {}
    if not isinstance(sources, dict) or not all(isinstance(s, str) for s in sources.values()):
        raise ZooError(f"{file} has sources in its description that are not strings.")
    return info


def _check_start(start: Any, file: Path) -> None:
    """Check the description of the training whose weights a training started from."""
    while start is not None:
        strings = ("source", "hash", "generator", "data")
        if (
            not isinstance(start, dict)
            or not all(isinstance(start.get(name), str) for name in strings)
            or type(start.get("images_seen")) is not int
        ):
            raise ZooError(f"{file} has a start in its description that names no training.")
        start = start.get("start")


def is_spec(spec: Any) -> bool:
    """Whether a value names a part: `{"name": ..., "options": {...}}`."""
    return (
        isinstance(spec, dict)
        and isinstance(spec.get("name"), str)
        and isinstance(spec.get("options"), dict)
        and all(isinstance(key, str) for key in spec["options"])
    )


def _check_part(part: str, spec: Any, file: Path) -> None:
    """Check the description of a part, and of its head if it has one."""
    if spec is None:
        return
    if not is_spec(spec):
        raise ZooError(
            f"{file} has {with_article(part)} in its description without its name or its options."
        )
    check_numbers(spec["options"], part, file)
    head = spec.get("head")
    if any(len(s["name"]) > LONGEST for s in (spec, head) if is_spec(s)):
        raise ZooError(
            f"{file} has the name of {with_article(part)} in its description that is too long."
        )
    if head is not None and not is_spec(head):
        raise ZooError(
            f"{file} has a head of the {part} in its description without its name or its options."
        )


def check_numbers(options: dict[str, Any], place: str, file: Path) -> None:
    """Refuse sizes below 1 (0 for `num_classes`) or beyond the limits of `LARGEST`."""
    for name, most in LARGEST.items():
        value = options.get(name)
        if name not in options or (value is None and place == "data"):
            continue
        least = 0 if name == "num_classes" else 1
        numbers = value if name == "image_size" and isinstance(value, list | tuple) else [value]
        is_size = len(numbers) in (1, 2)
        if not is_size or not all(type(n) is int and least <= n <= most for n in numbers):
            shown = str(value)
            raise ZooError(
                f"{file} has {name}={shown[:40]} in its description, which must be an integer of "
                f"{least} or more, and at most {most:,}."
            )


def _check_names(names: Any, file: Path) -> None:
    """Check the names of the classes."""
    if names is None:
        return
    if not isinstance(names, list | tuple) or not all(isinstance(n, str | int) for n in names):
        raise ZooError(f"{file} has class_names in its description that are not a list of strings.")
    if any(len(str(name)) > LONGEST for name in names):
        raise ZooError(
            f"{file} has the name of a class with more than {LONGEST:,} characters in its "
            "description."
        )


def _check_extent(info: dict[str, Any], file: Path) -> None:
    """Refuse a description that is nested too deeply, or has too many or too large values.

    Containers that occur several times are counted each time.
    """
    level: list[Any] = [info]
    count = 0
    for _ in range(DEEPEST):
        following: list[Any] = []
        for value in level:
            inner: Iterable[Any] = ()
            if isinstance(value, dict):
                inner = value.values()
            elif isinstance(value, list | tuple | set):
                inner = value
            elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
                raise ZooError(f"{file} has a number beyond 2^63 in its description.")
            following.extend(inner)
            if count + len(following) > MOST:
                raise ZooError(f"{file} has a description of more than {MOST:,} values.")
        count += len(following)
        level = following
        if not level:
            return
    raise ZooError(f"{file} has a description nested more than {DEEPEST} deep.")
