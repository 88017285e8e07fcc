"""Describe parts and data sets as plain values, which a checkpoint can store."""

from __future__ import annotations

from typing import Any

from zoo.core.errors import listing
from zoo.registry import REGISTRY, spec_of


def spec(part: Any) -> dict[str, Any]:
    """Return a part's name and options, or only its class name if `zoo.create` did not make it.

    A discriminator's head is a separate entry beside the options, since it is a part of its own.
    """
    made_with = spec_of(part) or {"name": type(part).__name__, "options": {}}
    options = dict(made_with["options"])
    head = {"head": options.pop("head")} if "head" in options else {}
    return {"name": made_with["name"], "options": options, **head}


def in_words(spec: dict[str, Any]) -> str:
    """Format the result of `spec`: `dcgan (base_channels=32), head projection`."""
    options = listing(f"{k}={v}" for k, v in spec["options"].items())
    head = f", head {in_words(spec['head'])}" if spec.get("head") else ""
    return f"{spec['name']} ({options}){head}" if spec["options"] else spec["name"] + head


def source(kind: str, part: Any) -> str:
    """Return where a part comes from: `zoo`, a plugin's path, `package NAME`, or `python`."""
    made_with = spec_of(part)
    return "python" if made_with is None else REGISTRY.get(kind, made_with["name"]).source
