"""Rewrite the errors of Hydra and OmegaConf as sentences that name what would be right."""

from __future__ import annotations

import difflib
import re
import shlex
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo.cli.grammar import in_shell, key_of, quote, value_of
from zoo.cli.not_installed import not_installed
from zoo.cli.store import experiments
from zoo.core.errors import listing, suggest
from zoo.registry import REGISTRY
from zoo.registry.annotations import type_name
from zoo.registry.kinds import GROUPS, SECTIONS
from zoo.training.options import TRAINER_PARAMETERS


def grammar_sentence(text: str, error: Exception, config_dir: Path) -> str:
    """Explain what is wrong with an override that Hydra's grammar does not accept."""
    if "=" not in text and not text.startswith("~"):
        return (
            f"{text!r} is not an override: write key=value, for example model/loss=hinge, and "
            f"quote it if the value has a space.{_elsewhere(text, config_dir)}"
        )
    reason = next((line for line in str(error).splitlines() if line.strip()), "")
    key, _, value = text.partition("=")
    return (
        f"the override {text!r} cannot be read ({reason.strip()}); if its value is meant "
        f"literally, write {in_shell(f'{key}={quote(value)}')}"
    )


_LIGHTNINGS = ("pytorch_lightning.", "zoo.training.loggers.", "zoo.training.mlflow.")
"""Modules whose classes take options of Lightning's in addition to those in the configuration."""


def composition_sentence(error: Exception, overrides: list[str], config_dir: Path) -> str:
    """Explain an error that Hydra raised when composing `overrides`, and list the choices."""
    text = str(error)
    if match := re.search(r"Could not (?:find|load) '([^']+)/([^'/]+)'", text):
        return _no_option(match[1], match[2], text, config_dir)
    if match := re.search(r"Could not override '([^']+)'", text):
        key = match[1].split("@")[0]
        return _no_key(key, overrides) if "." in key or "/" not in key else _no_group(key)
    if match := re.search(r"'([^']+)' is not in struct", text) or re.search(
        r"Key '([^']+)' is not", text
    ):
        full = re.search(r"full_key: (\S+)", text)
        return _no_key(full[1] if full else match[1], overrides)
    if match := re.search(r"Multiple values for ([^.]+)\.", text):
        return f"{match[1]} is given twice; keep one."
    return " ".join(text.split())


def _no_option(group: str, name: str, text: str, config_dir: Path) -> str:
    """Explain that a group has no choice `name`.

    Args:
        group: the group, such as `model/loss`.
        name: the choice that does not exist.
        text: Hydra's error message, which lists the available choices.
        config_dir: the folder of the program's configuration files.
    """
    available = text.partition("Available options in")[2].partition("Config search path")[0]
    choices = [line.strip() for line in available.splitlines()[1:] if line.strip()]
    if not choices:  # Hydra lists none if one name in a list is wrong: `logger=[csv,mflow]`
        choices = _choices_of(group)
    if group == "experiment":
        choices = experiments(config_dir)
    kind = next((k for k, g in GROUPS.items() if g == group), None)
    broken = ""
    if kind:
        choices = sorted({*choices, *(p.name for p in REGISTRY.parts(kind))} - {"options"})
        broken = "".join(f" (Plugin {place} is broken: {why})" for place, why in REGISTRY.problems)
    hint = (
        not_installed(group, name, choices)
        or suggest(name, choices)
        or _elsewhere(name, config_dir)
    )
    return f"{group}={name}: there is no such choice.{hint} Choices: {listing(choices)}.{broken}"


def _elsewhere(name: str, config_dir: Path) -> str:
    """Return `" Did you mean experiment=sngan?"` if another group has a choice of this name."""
    matches = [f"experiment={name}"] if name in experiments(config_dir) else []
    matches += [
        f"{GROUPS[p.kind]}={name}" for p in REGISTRY.parts() if p.kind in GROUPS and p.name == name
    ]
    return f" Did you mean {' or '.join(matches)}?" if matches else ""


ALL_GROUPS = (
    *GROUPS.values(), "trainer", "logger", "callbacks", *SECTIONS, "experiment", "hparams_search",
    "debug",
)  # fmt: skip
"""The groups from which a user can choose, without Hydra's own."""
_INSTEAD = {
    "hydra.sweeper": "To search with Optuna, use task=tune (trials=N sets how many).",
    "hydra.launcher": "The launchers with options are hydra/launcher=joblib, submitit_local and "
    "submitit_slurm.",
}
"""What to use instead of options that Hydra's own sweeper and launcher do not have."""
_HYDRAS = ("hydra/launcher", "hydra/sweeper", "hydra/job_logging", "hydra/hydra_logging")


def _no_group(key: str) -> str:
    """Explain that a key with a slash is not a group."""
    return (
        f"{key} is not a group of choices.{suggest(key, [*ALL_GROUPS, *_HYDRAS])} "
        f"Groups: {listing(ALL_GROUPS)}."
    )


def _no_key(key: str, overrides: list[str]) -> str:
    """Explain an unknown key, after composing again without values to find out what exists."""
    from hydra import compose
    from hydra.errors import HydraException

    chosen = ("task", "datamodule", "experiment", "model", "trainer", "logger", "callbacks")
    plain = [o for o in overrides if "/" in key_of(o) or key_of(o) in (*chosen, *SECTIONS)]
    of_hydra = key.startswith("hydra.")  # settings that a configuration has only on request
    try:
        config = compose("config", overrides=plain, return_hydra_config=of_hydra)
    except (HydraException, OmegaConfBaseException):
        config = compose("config", return_hydra_config=of_hydra)
    parent, name, node = _first_unknown(key, config)
    if not OmegaConf.is_dict(node):
        hint = _beside_its_name(parent, name, value_of(overrides, key), overrides)
        return f"{parent} is a single value, so {key!r} does not exist{hint}."
    if key in {f"trainer.{p.name}" for p in TRAINER_PARAMETERS}:
        addition = shlex.quote(f"+{key}={value_of(overrides, key) or '…'}")
        return f"{key} is an option of Lightning's; add it with a plus sign: {addition}"
    keys = [str(k) for k in node if not str(k).startswith("_")]
    place = _called(parent, node) if parent else "the configuration"
    hint = _as_group(key, overrides) or (
        _of_others(parent, name) if parent else _at_top(name, config)
    )
    hint = (
        hint or suggest(name, keys) or _to_choose(parent, name, key) or _of_lightning(parent, name)
    )
    further = ""
    if not hint and str(node.get("_target_", "")).startswith(_LIGHTNINGS):
        further = f" Add further options of Lightning's with a plus sign: +{key}=… ."
    return f"{place} has no option {name!r}.{hint} Options of {place}: {listing(keys)}.{further}"


def _called(place: str, node: Any) -> str:
    """Name a place in the configuration, with the part that is chosen there: `model.loss (bce)`."""
    target = node.get("_target_")
    chosen = next((part.name for part in REGISTRY.parts() if part.target == target), None)
    return place if chosen is None or place.endswith(f".{chosen}") else f"{place} ({chosen})"


def _of_lightning(parent: str, name: str) -> str:
    """Suggest an option of Lightning's trainer, which has to be added with a plus sign."""
    names = [p.name for p in TRAINER_PARAMETERS] if parent == "trainer" else []
    near = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean +trainer.{near[0]}=…, an option of Lightning's?" if near else ""


def _to_choose(section: str, name: str, key: str) -> str:
    """Return the override that adds the entry `name`, as a sentence, if it is not chosen.

    Args:
        section: the section, such as `callbacks` or `model`.
        name: the unknown name in it.
        key: the whole key, which may continue with the name of a part.
    """
    if section == "callbacks" and name in [part.name for part in REGISTRY.parts("callback")]:
        return f" The override +callback={name} adds it."
    if section == "logger" and name in _choices_of(section):
        return f" The override logger={name} selects it."
    if section in _INSTEAD:
        return f" {_INSTEAD[section]}"
    if (group := f"{section}/{name}") in GROUPS.values():
        part = key.removeprefix(f"{section}.{name}").lstrip(".").partition(".")[0]
        return f" No {name} is chosen; {group}={part or 'NAME'} chooses one."
    return ""


def _choices_of(group: str) -> list[str]:
    """Return the names of a group's choices, as Hydra lists them."""
    return GlobalHydra.instance().config_loader().get_group_options(group)


def _beside_its_name(parent: str, name: str, value: str | None, overrides: list[str]) -> str:
    """Say how to set an option of a part named by a value: `refine={name: mh, steps: 9}`.

    Args:
        parent: the option whose value names the part, such as `refine`.
        name: the option of the part.
        value: the value of that option, if it is given.
        overrides: all overrides, which may contain the name of the part.
    """
    last = parent.rpartition(".")[2]
    parts = REGISTRY.parts("callback" if "." in parent else "task")
    types = [type_name(o.type) for part in parts for o in part.options if o.name == last]
    if not any("str or dict" in text for text in types):
        return ""
    chosen = (value_of(overrides, parent) or "").strip("[]")
    part = chosen if chosen.isidentifier() and chosen != "null" else "NAME"
    node = f"{{name: {part}, {name}: {value or '…'}}}"
    node = f"[{node}]" if any("list" in text for text in types) else node
    return f": give the option together with the part's name, {shlex.quote(f'{parent}={node}')}"


def _at_top(name: str, config: Any) -> str:
    """Suggest what an unknown key without a section may stand for."""
    inside = _leaves(OmegaConf.to_container(config))
    same = [option for option in inside if option.rpartition(".")[2] == name]
    if same:
        return f" Did you mean {' or '.join(map(repr, same[:3]))}?"
    near = [key for key in (*map(str, config), *ALL_GROUPS) if key != name]
    return _of_others("", name) or suggest(name, near) or suggest(name, inside)


def _leaves(options: Any, place: str = "") -> list[str]:
    """Return the dotted keys of all options, such as `datamodule.batch_size`."""
    keys: list[str] = []
    for name, value in options.items():
        key = f"{place}{name}"
        keys += _leaves(value, f"{key}.") if isinstance(value, dict) else [key]
    return keys


def _of_others(parent: str, name: str) -> str:
    """Return `" 'n' is an option of task=sample."` if other choices of the group have it."""
    group = parent.replace(".", "/") or GROUPS["task"]
    kind = next((k for k, g in GROUPS.items() if g == group), None)
    parts = REGISTRY.parts(kind) if kind else []
    owners = [f"{group}={p.name}" for p in parts if name in {option.name for option in p.options}]
    return f" {name!r} is an option of {listing(owners)}." if owners else ""


def _first_unknown(key: str, config: Any) -> tuple[str, str, Any]:
    """Find the first name in a dotted key that does not exist.

    Returns:
        The part of the key before that name, the name, and the node to which it does not belong.
    """
    parent, _, name = key.rpartition(".")
    node, place = config, ""
    for part in key.split("."):
        if not OmegaConf.is_dict(node) or part not in node:
            return place, part, node
        place = f"{place}.{part}".lstrip(".")
        node = OmegaConf.select(config, place)
    return parent, name, OmegaConf.select(config, parent) if parent else config


def _as_group(key: str, overrides: list[str]) -> str:
    """Return `" Did you mean model/regularizer=r1?"` for a group that is written with a dot."""
    group = key.replace(".", "/")
    if group == key or group not in ALL_GROUPS:
        return ""
    value = value_of(overrides, key) or "NAME"
    choice = value[1:-1] if value[:1] == "[" and "," not in value else value
    return f" Did you mean {shlex.quote(f'{group}={choice}')}?" if choice else ""


def omegaconf_sentence(error: Exception) -> str:
    """Explain a missing value, or one that cannot be resolved."""
    text = str(error)
    key = getattr(error, "full_key", None) or ""
    if "Missing mandatory value" in text or "MissingMandatoryValue" in type(error).__name__:
        key = key or text.rsplit(":", 1)[-1].strip()
        return f"{key} is missing: give it as {key}=…"
    return f"{key}: {' '.join(text.split())}" if key else " ".join(text.split())
