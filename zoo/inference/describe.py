"""What a file says of itself, checked before anything is made from it.

Files come from anywhere: what stands in them is text and numbers of any kind, depth and size.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from zoo.core.errors import ZooError

FORMAT = 1
"""The version of the description's format; it rises when old files cannot be understood."""

DEEPEST = 50
"""Containers within containers of a description."""
MOST = 1_000_000
"""Values of a description."""
LONGEST = 1000
"""Letters of the name of a class, a part or a data set."""
LARGEST = {"image_size": 65_536, "channels": 65_536, "latent_dim": 10**7, "num_classes": 10**6}
"""Numbers that a description may give of a network or its data."""
LARGEST_NUMBER = 2**63
"""The largest number in a description: a larger one is no count, nor fit for a file's name."""
_PARTS = ("generator", "discriminator", "loss", "latent")


def check_info(info: Any, file: Path) -> dict[str, Any]:
    """Refuse a description that cannot be one, or that a newer zoo wrote."""
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
        raise ZooError(f"{file} has a data set of a name that is too long in its description.")
    _check_names(data.get("class_names"), file)
    if not isinstance(data.get("options") or {}, dict):
        raise ZooError(f"{file} has data.options in its description that are no options.")
    seen, weights = info.get("images_seen", 0), info.get("weights", "raw")
    if type(seen) is not int or seen < 0:
        raise ZooError(f"{file} has images_seen={seen} in its description, which must be a count.")
    if weights not in ("ema", "raw"):
        raise ZooError(
            f"{file} has weights={str(weights)[:20]} in its description: it must be ema or raw."
        )
    _check_start(info.get("start"), file)
    sources = info.get("sources") or {}
    if not isinstance(sources, dict) or not all(isinstance(s, str) for s in sources.values()):
        raise ZooError(f"{file} has sources in its description that are no texts.")
    return info


def _check_start(start: Any, file: Path) -> None:
    """Refuse an origin of the first weights that is none."""
    while start is not None:
        texts = ("source", "hash", "generator", "data")
        if (
            not isinstance(start, dict)
            or not all(isinstance(start.get(name), str) for name in texts)
            or type(start.get("images_seen")) is not int
        ):
            raise ZooError(f"{file} has a start in its description that names no training.")
        start = start.get("start")


def is_spec(spec: Any) -> bool:
    """Whether it names a part: `{"name": ..., "options": {...}}`."""
    return (
        isinstance(spec, dict)
        and isinstance(spec.get("name"), str)
        and isinstance(spec.get("options"), dict)
        and all(isinstance(key, str) for key in spec["options"])
    )


def _check_part(part: str, spec: Any, file: Path) -> None:
    if spec is None:
        return
    if not is_spec(spec):
        raise ZooError(f"{file} has a {part} in its description without its name or its options.")
    check_numbers(spec["options"], part, file)
    head = spec.get("head")
    if any(len(s["name"]) > LONGEST for s in (spec, head) if is_spec(s)):
        raise ZooError(f"{file} has a {part} of a name that is too long in its description.")
    if head is not None and not is_spec(head):
        raise ZooError(
            f"{file} has a head of the {part} in its description without its name or its options."
        )


def check_numbers(options: dict[str, Any], place: str, file: Path) -> None:
    """Refuse sizes that no network has: below 1 (classes: below 0), or beyond all bounds."""
    for name, most in LARGEST.items():
        value = options.get(name)
        if name not in options or (value is None and place == "data"):
            continue
        least = 0 if name == "num_classes" else 1
        numbers = value if name == "image_size" and isinstance(value, list | tuple) else [value]
        sides = len(numbers) in (1, 2)
        if not sides or not all(type(n) is int and least <= n <= most for n in numbers):
            shown = str(value)
            raise ZooError(
                f"{file} has {name}={shown[:40]} in its description, which must be a whole number "
                f"of {least} or more, and at most {most:,}."
            )


def _check_names(names: Any, file: Path) -> None:
    if names is None:
        return
    if not isinstance(names, list | tuple) or not all(isinstance(n, str | int) for n in names):
        raise ZooError(f"{file} has class_names in its description that are no list of texts.")
    if any(len(str(name)) > LONGEST for name in names):
        raise ZooError(
            f"{file} has the name of a class of more than {LONGEST:,} letters in its description."
        )


def _check_extent(info: dict[str, Any], file: Path) -> None:
    """Refuse what is too deep, too much or too large for those who walk through it.

    Shared parts are counted each time.
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
