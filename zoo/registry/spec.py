"""What a checkpoint says of its parts and its data, as plain values."""

from __future__ import annotations

from typing import Any

from zoo.core.errors import listing
from zoo.registry import REGISTRY, spec_of


def spec(part: Any) -> dict[str, Any]:
    """Name and options of a part; for one that `zoo.create` did not make, its class alone.

    A discriminator's head stands beside its options, since it is a part of its own.
    """
    known = spec_of(part) or {"name": type(part).__name__, "options": {}}
    options = dict(known["options"])
    head = {"head": options.pop("head")} if "head" in options else {}
    return {"name": known["name"], "options": options, **head}


def in_words(spec: dict[str, Any]) -> str:
    """`dcgan (base_channels=32), head projection`, of what `spec` gives."""
    options = listing(f"{k}={v}" for k, v in spec["options"].items())
    head = f", head {in_words(spec['head'])}" if spec.get("head") else ""
    return f"{spec['name']} ({options}){head}" if spec["options"] else spec["name"] + head


def source(kind: str, part: Any) -> str:
    """Where a part comes from: `zoo`, a plugin's path, `package NAME`, or `python`."""
    known = spec_of(part)
    return "python" if known is None else REGISTRY.get(kind, known["name"]).source
