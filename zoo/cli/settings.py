"""A training's settings as a checkpoint keeps them: values of known keys, and no commands.

They may come from anywhere. So the file names parts by their registered names, its callbacks and
loggers are those of the shipped configuration files, and what would make the training read or write
elsewhere holds only if this user's own zoo has written it, or if it is given again.
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
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS, KINDS

SECTIONS = (
    "seed", "on_nan", "max_rollbacks", "data_dir", "datamodule", "model", "trainer", "callbacks",
    "logger", "task_name", "tags",
)  # fmt: skip
"""The sections of the configuration that make the training what it is."""
_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*", re.ASCII)
_ELSEWHERE_KEY = re.compile(r"(.*_)?(dir|folder|path|file|root|weights)$")
_ELSEWHERE_VALUE = re.compile(r"[/\\~]|\.\.|^[A-Za-z]+:")
_KEY_BYTES = 32
_MOST = 5000
"""Values in the settings of a checkpoint."""
_DEEPEST = 8
_LONGEST = 4096


def settings_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint keeps of a composed, resolved configuration.

    What it started from is told by its description, and is nothing to begin with again.
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
    options = {k: v for k, v in node.items() if k != "_target_"}
    return {"name": REGISTRY.get(kind, node["_target_"]).name, "options": options}


def checked(settings: Any, file: Path) -> dict[str, Any]:
    """The values in a checkpoint's settings, of the shape that `settings_of` gives.

    Raises:
        ZooError: they are of another shape, or hold what is looked up or carried out.
    """
    values = settings.get("values") if isinstance(settings, dict) else None
    if not isinstance(values, dict) or set(values) - set(SECTIONS):
        raise ZooError(f"{file} has settings that no training of this zoo writes down.")
    _check_plain(values, file, [0])
    for section in ("datamodule", "model", "trainer", "callbacks", "logger"):
        if not isinstance(values.get(section, {}), dict | None):
            raise ZooError(f"{file} has settings whose {section} is no mapping.")
    return values


def _check_plain(value: Any, file: Path, count: list[int], depth: int = 0, key: str = "") -> None:
    count[0] += 1
    if depth > _DEEPEST or count[0] > _MOST:
        raise ZooError(f"{file} has settings that are too large to be a training's.")
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str) or not _KEY.fullmatch(name) or len(name) > 200:
                raise ZooError(f"{file} has the setting {str(name)[:80]!r}, which can be none.")
            _check_plain(inner, file, count, depth + 1, f"{key}.{name}" if key else name)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_plain(inner, file, count, depth + 1, key)
    elif isinstance(value, str):
        if "${" in value or len(value) > _LONGEST or not value.isprintable():
            raise ZooError(
                f"{file} has {key}={value[:80]!r}, which would be looked up or carried out: it is "
                "not continued."
            )
    elif value is not None and type(value) not in (bool, int, float):
        raise ZooError(f"{file} has a {type(value).__name__} as {key}, which is no plain value.")


def is_own(settings: dict[str, Any]) -> bool:
    """Whether this user's zoo has written the settings, on this machine."""
    seal, own = settings.get("seal"), _seal(settings["values"])
    if not isinstance(seal, str) or not own:  # without a key nothing is known to be one's own
        return False
    return hmac.compare_digest(seal.encode(errors="replace"), own.encode())


def _seal(values: dict[str, Any]) -> str:
    """A keyed checksum, with a key that only this user has; empty where none can be kept."""
    try:
        key = _key(cache_dir() / "seal.key")
    except OSError:
        return ""
    text = json.dumps(values, sort_keys=True, default=str)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _key(file: Path) -> bytes:
    """The key in a file, which is made where there is none, or half of one."""
    if not file.is_file() or file.stat().st_size != _KEY_BYTES:
        if file.is_file():
            file.unlink()
        write_once(file, secrets.token_bytes(_KEY_BYTES))
    return file.read_bytes()


def leads_elsewhere(key: str, value: Any) -> bool:
    """Whether a value says where to read or write, or that something is fetched."""
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
