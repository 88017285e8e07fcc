"""The settings of a training, as a checkpoint stores them: values of known keys, and no commands.

A checkpoint may come from anybody. Its settings therefore name parts by their registered names, may
use only the callbacks and loggers of the shipped configuration files, and may make the training
read or write elsewhere only if this user's own zoo wrote them or the user gives them again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from pathlib import Path
from typing import Any

from zoo.core.atomic import write_once
from zoo.core.cache import cache_dir
from zoo.core.errors import ZooError, with_article
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS, KINDS

SECTIONS = (
    "seed", "on_nan", "max_rollbacks", "data_dir", "datamodule", "model", "trainer", "callbacks",
    "logger", "task_name", "tags",
)  # fmt: skip
"""The sections of the configuration that determine a training."""
_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
_ELSEWHERE_KEY = re.compile(r"(.*_)?(dir|folder|path|file|root|weights)$")
_ELSEWHERE_VALUE = re.compile(r"[/\\~]|\.\.|^[A-Za-z]+:")
_KEY_BYTES = 32
_MOST = 5000
"""The largest number of values in the settings of a checkpoint."""
_DEEPEST = 8
"""The deepest nesting of values."""
_LONGEST = 4096
"""The largest number of characters in a string."""


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint stores of a composed and resolved configuration.

    `model.start` is left out: a resumed training must not load those weights again, and the
    checkpoint's description names them.

    Returns:
        The `values` of the settings by section, with parts as dictionaries of `name` and `options`,
        and the `seal`, by which this user's zoo recognizes settings that it wrote.
    """
    kept = {name: config[name] for name in SECTIONS if name in config}
    if isinstance(kept.get("model"), dict):
        kept["model"] = {k: v for k, v in kept["model"].items() if k != "start"}
    for name in ("callbacks", "logger"):
        kept[name] = kept.get(name) or {}
    for kind, group in GROUPS.items():
        first, _, second = group.partition("/")
        if kind == "task" or not isinstance(kept.get(first), dict):
            continue
        if not second:
            kept[first] = _named(kind, kept[first])
            continue
        nodes = kept[first].get(second)
        if KINDS[kind].several:
            each = (nodes or {}).values() if isinstance(nodes, dict) else nodes or []
            named: Any = [_named(kind, node) for node in each if node is not None]
        else:
            named = None if nodes is None else _named(kind, nodes)
        kept[first] = {**kept[first], second: named}
    return {"values": kept, "seal": _seal(kept)}


def _named(kind: str, node: dict[str, Any]) -> dict[str, Any]:
    """Convert a part's config node to its registered name and its options."""
    options = {k: v for k, v in node.items() if k != "_target_"}
    return {"name": REGISTRY.get(kind, node["_target_"]).name, "options": options}


def checked(settings: Any, file: Path) -> dict[str, Any]:
    """Return the values in a checkpoint's settings, after checking their structure.

    Args:
        settings: what the checkpoint holds as its settings, which may be anything.
        file: the checkpoint, for error messages.

    Raises:
        ZooError: the settings do not have the structure that `settings_of` returns, or contain
            something other than plain values.
    """
    values = settings.get("values") if isinstance(settings, dict) else None
    if not isinstance(values, dict) or set(values) - set(SECTIONS):
        raise ZooError(f"{file} has settings that no training of this zoo writes down.")
    _check_plain(values, file, [0])
    for section in ("datamodule", "model", "trainer", "callbacks", "logger"):
        if not isinstance(values.get(section, {}), dict | None):
            raise ZooError(f"{file} has settings whose {section} is not a mapping.")
    return values


def _check_plain(value: Any, file: Path, count: list[int], depth: int = 0, key: str = "") -> None:
    """Check that a value, and all values in it, are plain and few.

    Args:
        value: a value of the settings.
        file: the checkpoint, for error messages.
        count: a list with the number of values checked so far, which is updated.
        depth: how deeply the value is nested.
        key: the dotted key of the value.

    Raises:
        ZooError: a value or a name is not allowed, or there are too many.
    """
    count[0] += 1
    if depth > _DEEPEST or count[0] > _MOST:
        raise ZooError(f"{file} has settings that are too large to be a training's.")
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str) or not _KEY.fullmatch(name) or len(name) > 200:
                raise ZooError(f"{file} has a setting with the invalid name {str(name)[:80]!r}.")
            _check_plain(inner, file, count, depth + 1, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_plain(inner, file, count, depth + 1, key)
    elif isinstance(value, str):
        if "${" in value or len(value) > _LONGEST or not value.isprintable():
            raise ZooError(
                f"{file} has {key}={value[:80]!r}, which is not plain text and could be "
                "evaluated, so it is not resumed."
            )
    elif value is not None and type(value) not in (bool, int, float):
        raise ZooError(
            f"{file} has {with_article(type(value).__name__)} as {key}, which is not a plain value."
        )


def is_own(settings: dict[str, Any]) -> bool:
    """Whether this user's zoo wrote the settings, on this machine."""
    seal, own = settings.get("seal"), _seal(settings["values"])
    if not isinstance(seal, str) or not own:  # without a key, the seal cannot be verified
        return False
    return hmac.compare_digest(seal.encode(errors="replace"), own.encode())


def _seal(values: dict[str, Any]) -> str:
    """Return a keyed checksum of the settings, or an empty string if the key cannot be stored.

    Only this user has the key.
    """
    try:
        key = _key(cache_dir() / "seal.key")
    except OSError:
        return ""
    text = json.dumps(values, sort_keys=True, default=str)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(file: Path) -> bytes:
    """Read the key from a file, which is created if it is missing or incomplete."""
    if not file.is_file() or file.stat().st_size != _KEY_BYTES:
        if file.is_file():
            file.unlink()
        write_once(file, secrets.token_bytes(_KEY_BYTES))
    return file.read_bytes()


def leads_elsewhere(key: str, value: Any) -> bool:
    """Whether a value names a place to read from or write to, or asks for a download."""
    if isinstance(value, dict):
        return any(leads_elsewhere(f"{key}.{k}", v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return any(leads_elsewhere(key, v) for v in value)
    name = key.rpartition(".")[2]
    if name == "pretrained":
        return value not in (None, False)
    if not isinstance(value, str) or not value:
        return False
    return bool(_ELSEWHERE_KEY.fullmatch(name)) or bool(_ELSEWHERE_VALUE.search(value))
