"""Check a composed configuration against the signatures of its parts, without importing them."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from zoo.core.errors import ZooError, listing, suggest
from zoo.registry import REGISTRY, Part
from zoo.registry.kinds import GROUPS, KINDS, SECTIONS
from zoo.registry.places import ROOT
from zoo.registry.signature import NotReadable, Parameter, check_idle, convert_option, from_source
from zoo.training.options import TRAINER_PARAMETERS, TRAINER_REFUSED, model_parameters
from zoo.training.trainer import ALLOWED

_FOLDER = re.compile(r"\w[\w.-]*")
_LONGEST_TAG = 64
"""The largest number of characters in a tag, which is W&B's limit."""
MODEL_SETTINGS = (
    Parameter("latent_dim", int),
    Parameter("conditional", bool | None),
    Parameter("schedules", dict | None),
)
"""Options of the model that belong neither to its parts nor to the training step."""


def validate(config: DictConfig) -> str:
    """Check every value against the signature that it is for, and every `_target_`.

    Args:
        config: the configuration that Hydra composed; its node `hydra` is not checked. Options of
            callbacks and loggers that a preset of `debug` leaves out are deleted from it.

    Returns:
        The name of the task.

    Raises:
        ZooError: a value is missing or of a wrong type, an option is unknown, or a `_target_` is
            not registered or is in a place where no part belongs. The message names the key.
    """
    _leave_out(config)
    plain: dict[str, Any] = {str(k): _plain(config, str(k)) for k in config if k != "hydra"}
    for name, value in plain.items():
        _check_numbers(value, name)
    part = _part("task", plain.get("task"), "task")
    _check_names(plain)
    _check_task(part, plain)
    places = {"task"}
    for kind, group in GROUPS.items():
        if kind != "task":
            places |= set(_check_parts(kind, group, plain))
    _check_model(plain.get("model"))
    if part.name == "train" and not isinstance(plain.get("trainer"), dict):
        raise ZooError("trainer is missing: choose its settings with trainer=…, for example cpu.")
    _check_trainer(plain.get("trainer") or {})
    places |= {place for section in ("callbacks", "logger") for place in _services(section, plain)}
    for place, target in _targets(plain):
        if place not in places:
            raise ZooError(f"{place}._target_={target} stands where no part belongs; leave it out.")
    return part.name


def _check_task(part: Part, plain: dict[str, Any]) -> None:
    """Check the task's own options, and that there is a folder of data sets if it needs one."""
    if part.name in ("train", "tune") or any(p.name == "data_dir" for p in part.parameters):
        if plain.get("data_dir") in (None, ""):
            raise ZooError("data_dir is missing: give the folder of data sets as data_dir=…")
        _check(plain["data_dir"], Parameter("data_dir", str), "data_dir")
    for option in part.options:
        _check(plain.get(option.name), option, option.name)
    check_idle(part.options, {p.name: plain.get(p.name) for p in part.options}, "")


def _check_model(model: Any) -> None:
    """Check the model's own settings, which belong to none of its parts."""
    if isinstance(model, dict):
        kinds = [g.partition("/")[2] for g in GROUPS.values() if g.startswith("model/")]
        own = {k: v for k, v in model.items() if k not in kinds}
        _check_node(own, (*model_parameters(), *MODEL_SETTINGS), "model", "model")


def _services(section: str, plain: dict[str, Any]) -> list[str]:
    """Check the callbacks, or the loggers, and return their dotted places."""
    nodes = plain.get(section) or {}
    if not isinstance(nodes, dict):
        raise ZooError(f"{section}={nodes} is not a mapping of names: choose with {section}=… .")
    for name, node in nodes.items():
        if not _check_part(node, section, f"{section}.{name}"):
            _check_class(node, f"{section}.{name}")
    return [f"{section}.{name}" for name in nodes]


def _leave_out(config: DictConfig) -> None:
    """Delete the settings of callbacks and loggers that a preset of debug= leaves out."""
    for section in ("callbacks", "logger") if config.get("debug") else ():
        nodes = config.get(section)
        if not OmegaConf.is_dict(nodes):
            continue
        for name in list(nodes):
            if OmegaConf.is_dict(nodes[name]) and "_target_" not in nodes[name]:
                with open_dict(config):
                    del nodes[name]


def _check_numbers(value: Any, place: str) -> None:
    """Refuse values that no option can have: NaN, integers beyond 64 bits, and null bytes."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_numbers(inner, f"{place}.{name}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            _check_numbers(inner, f"{place}[{i}]")
    elif isinstance(value, float) and math.isnan(value):
        raise ZooError(f"{place}=nan is not a number.")
    elif type(value) is int and abs(value) >= 2**63:
        raise ZooError(f"{place}={str(value)[:40]} does not fit into 64 bits.")
    elif isinstance(value, str) and "\0" in value:
        raise ZooError(f"{place} contains a null byte, which no option may.")


def _check_names(plain: dict[str, Any]) -> None:
    """Check the run's name, its tags, and its preset of debug=."""
    if not isinstance(plain.get("debug", ""), str):
        raise ZooError(f"debug={plain['debug']} does not name a preset: choose one with debug=… .")
    name = plain.get("task_name")
    if not isinstance(name, str | int) or not _FOLDER.fullmatch(str(name)):
        raise ZooError(
            f"task_name={name} cannot name a folder in outputs/: use letters, digits and . _ - "
            "and do not begin with . or -"
        )
    tags = plain.get("tags")
    _check(tags, Parameter("tags", list[str]), "tags")
    for tag in tags or []:
        if not 0 < len(str(tag)) <= _LONGEST_TAG or not str(tag).isprintable():
            raise ZooError(
                f"tags={listing(map(repr, tags or []))}: a tag must have 1 to {_LONGEST_TAG} "
                "characters, all printable."
            )


def _check_trainer(settings: dict[str, Any]) -> None:
    """Check the options of the trainer, including those of Lightning's that are added with `+`."""
    for name, place in TRAINER_REFUSED.items():
        if name in settings:
            raise ZooError(f"trainer.{name} is set elsewhere: give {place}")
    known = {p.name for p in TRAINER_PARAMETERS}
    for name in settings:
        if name not in known:
            raise ZooError(f"trainer has no option {name!r}.{suggest(name, known)}")
    for option in TRAINER_PARAMETERS:
        if option.name in settings:
            _check(settings[option.name], option, f"trainer.{option.name}")


def _plain(config: DictConfig, key: str) -> Any:
    """Return a node as plain values, with `???` where a value is missing."""
    try:
        if OmegaConf.is_missing(config, key):
            return "???"
        value = config[key]
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
    except OmegaConfBaseException as error:
        raise ZooError(f"{key}: {' '.join(str(error).split())}") from error


def _part(kind: str, node: Any, place: str) -> Part:
    """Return the registered part that a node names.

    Raises:
        ZooError: the node names no part of this kind.
    """
    if not isinstance(node, dict) or "_target_" not in node:
        names = [p.name for p in REGISTRY.parts(kind)]
        group = GROUPS[kind]
        raise ZooError(f"{place} names no {kind}: choose one of {listing(names)} with {group}=… .")
    if not isinstance(node["_target_"], str):
        raise ZooError(
            f"{place}._target_={node['_target_']} is not a name: choose with {GROUPS[kind]}=…"
        )
    try:
        return REGISTRY.get(kind, node["_target_"])
    except ZooError as error:
        raise ZooError(f"{place}._target_: {error}") from error


def _check_parts(kind: str, group: str, plain: dict[str, Any]) -> Iterator[str]:
    """Check the parts of one kind, and yield their dotted places."""
    first, _, second = group.partition("/")
    parent = plain.get(first)
    node = (parent.get(second) if isinstance(parent, dict) else None) if second else parent
    place = group.replace("/", ".")
    if KINDS[kind].several:
        nodes = node.items() if isinstance(node, dict) else enumerate(node or [])
        by_place = {f"{place}.{key}": value for key, value in nodes if value is not None}
    else:
        by_place = {} if kind == "head" and node is None else {place: node}
    for where, value in by_place.items():
        part = _part(kind, value, where)
        options = {k: v for k, v in value.items() if k != "_target_"}
        _check_node(options, part.options, where, f"{where} ({part.name})")
        yield where


def _check_node(
    node: dict[str, Any], options: tuple[Parameter, ...], place: str, name: str
) -> None:
    """Check that a node has only known options, all required ones, and values of their types.

    Args:
        node: the values by option.
        options: the options that exist.
        place: the dotted place of the node.
        name: what the error message calls the node.
    """
    known = {p.name: p for p in options}
    for key, value in node.items():
        if key not in known:
            raise ZooError(
                f"{name} has no option {key!r}.{suggest(key, known)} "
                f"Options of {name}: {listing(options)}."
            )
        _check(value, known[key], f"{place}.{key}")
    for option in options:
        if option.required and option.name not in node and option not in MODEL_SETTINGS:
            raise ZooError(f"{place}.{option.name} is missing: give it as {place}.{option.name}=…")
    check_idle(options, node, f"{place}.")


def _check(value: Any, option: Parameter, key: str) -> None:
    """Check that a value is not missing and has the type of its option."""
    if isinstance(value, str) and value == "???":
        raise ZooError(f"{key} is missing: give it as {key}=…")
    convert_option(value, option, key, key)


def _check_part(node: Any, section: str, place: str) -> bool:
    """Check a callback's or logger's node as a registered part; False if it is not one."""
    kinds = [kind for kind, name in SECTIONS.items() if name == section]
    parts = {p.target: p for kind in kinds for p in REGISTRY.parts(kind)}
    if kinds and isinstance(node, dict) and "_target_" not in node:
        names = listing(p.name for p in parts.values())
        raise ZooError(f"{place} names no {kinds[0]}: choose one of {names} with +{kinds[0]}=… .")
    part = parts.get(str(node.get("_target_"))) if isinstance(node, dict) else None
    if part is None:
        return False
    options = tuple(map(_optional, part.parameters))
    _check_node({k: v for k, v in node.items() if k != "_target_"}, options, place, place)
    return True


def _check_class(node: Any, place: str) -> None:
    """Check the class of a callback or logger, and for the zoo's own classes also the options."""
    if node is None:
        return
    target = str(node.get("_target_", "")) if isinstance(node, dict) else ""
    if not target.startswith(ALLOWED):
        raise ZooError(
            f"{place}._target_={target} is not allowed: it must start with one of "
            f"{listing(ALLOWED)}."
        )
    module, _, name = target.rpartition(".")
    file = ROOT / f"{module.replace('.', '/')}.py"
    if not target.startswith("zoo.") or not file.is_file():
        return
    tree = ast.parse(file.read_bytes())
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name]
    if not classes:
        raise ZooError(f"{place}._target_={target} does not exist: {module} has no {name}.")
    try:
        options = tuple(map(_optional, from_source(classes[0], tree, ())))
    except NotReadable:
        return
    given = {k: v for k, v in node.items() if not k.startswith("_")}
    _check_node(given, options, place, place)


def _optional(parameter: Parameter) -> Parameter:
    """Make a parameter optional, since the code that builds the object may supply it."""
    return replace(parameter, default=None) if parameter.required else parameter


def _targets(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted place and the value of every `_target_` in a configuration."""
    if isinstance(node, dict):
        if "_target_" in node:
            yield place, node["_target_"]
        for key, value in node.items():
            yield from _targets(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _targets(value, f"{place}.{i}")
