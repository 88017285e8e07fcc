"""Turn the settings in a checkpoint into overrides that go together with the user's new ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from zoo.cli.grammar import argument, key_of, override_parser, quote
from zoo.cli.settings import leads_elsewhere
from zoo.cli.store import CONFIGS
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS, KINDS

_CHOICES = ("trainer", "logger", "callbacks", "experiment", "debug", "model")
"""Config groups whose choices are YAML files, in addition to the groups of parts."""
_SERVICES = ("logger", "callbacks")
"""Groups whose choices each bring several named entries, such as `callbacks.checkpoints`."""
_MISSING = object()
_LOCAL_LOGGING = {"offline": "true", "tracking_uri": "local"}
"""Options of loggers, with the values that keep the log on this machine."""


class _UserChoices(NamedTuple):
    """What the user's overrides choose and set.

    Args:
        groups: the override of each group that the user chooses anew; it is empty for a group that
            changes only because an experiment or a preset of `debug` sets it.
        composable: the overrides of groups, without those of a sweep.
        values: the overrides of single values.
        config: the flat configuration with the chosen groups.
        touched: the dotted keys whose values the chosen groups change.
        replaced: the dotted places of the parts chosen anew and of the nodes deleted.
    """

    groups: dict[str, str]
    composable: list[str]
    values: list[str]
    config: dict[str, Any]
    touched: set[str]
    replaced: list[str]


def overrides_of(
    values: dict[str, Any], given: list[str], file: Path, own: bool, config_dir: str | None = None
) -> list[str]:
    """Return the overrides that restore a checkpoint's settings, except those the user replaces.

    Args:
        values: the settings, as `zoo.cli.settings.checked` returns them.
        given: the user's overrides, which take precedence.
        file: the checkpoint, for error messages.
        own: whether this user's own zoo wrote the settings, in which case they may name places to
            read from and write to.
        config_dir: a folder with further configuration files, or None.

    Raises:
        ZooError: the settings name a part or a class that does not exist here, or a place to read
            from or write to that the user has not confirmed.
    """
    compose = _Composer(config_dir)
    user = _user_choices(given, compose)
    choices, options = _part_choices(values, user, file)
    choices += _file_choices(values, user.groups, compose)
    base = compose([*user.composable, *choices])
    overrides = [*choices, *_deletions(values, user.groups, base)]
    for key, value in _leaves(_with_options(values, options)):
        if key in user.touched or any(_is_within(key, place) for place in user.replaced):
            continue
        if _is_dropped_service(key, user.groups, base):
            continue
        if value != {} and base.get(key, _MISSING) != value:
            overrides += _override(key, value, base, file, own, user.values)
    if not own:
        overrides += _local_logging(values, user, base)
    return overrides


def _user_choices(given: list[str], compose: _Composer) -> _UserChoices:
    """Separate the user's choices of groups from the values, and find what the choices change."""
    groups = {key_of(a): a for a in given if is_group(key_of(a))}
    composable = [a for a in groups.values() if not is_sweep(a)]
    default, config = compose([]), compose(composable)
    touched = {k for k, v in config.items() if default.get(k, _MISSING) != v}
    touched |= default.keys() - config.keys()
    for group in _SERVICES:
        if _names_in(config, group) != _names_in(default, group):
            groups.setdefault(group, "")
    if "trainer" in groups:  # replaces everything that any file of this group sets
        for name in _shipped(group="trainer"):
            trainer = compose([f"trainer={name}"])
            touched |= {k for k, v in trainer.items() if default.get(k) != v}
    values = [a for a in given if not is_group(key_of(a))]
    replaced = [g.replace("/", ".") for g in groups if g in GROUPS.values()]
    replaced += [key_of(a) for a in values if a.startswith("~")]
    return _UserChoices(groups, composable, values, config, touched, replaced)


def _is_dropped_service(key: str, groups: dict[str, str], base: dict[str, Any]) -> bool:
    """Whether `key` belongs to a logger or callback that the user's choice of group leaves out."""
    section, _, rest = key.partition(".")
    if section not in _SERVICES or section not in groups:
        return False
    return f"{section}.{rest.split('.')[0]}._target_" not in base


def _local_logging(values: dict[str, Any], user: _UserChoices, base: dict[str, Any]) -> list[str]:
    """Overrides that keep the log of a run from elsewhere local, unless the user sets them."""
    if "logger" in user.groups:
        return []
    places = {
        f"logger.{name}.{option}": value
        for name in values.get("logger") or {}
        for option, value in _LOCAL_LOGGING.items()
    }
    return [
        f"{place}={value}"
        for place, value in places.items()
        if place in base and not any(_is_within(place, key_of(a)) for a in user.values)
    ]


def is_group(key: str) -> bool:
    """Whether an override with this key chooses from a group rather than setting a value."""
    return key in (*_CHOICES, *GROUPS.values()) and key != "task"


def _is_within(key: str, place: str) -> bool:
    """Whether a dotted key is `place` or lies below it."""
    return key == place or key.startswith(f"{place}.")


def _names_in(flat: dict[str, Any], group: str) -> set[str]:
    """The names of the loggers, or callbacks, in a flat configuration."""
    return {key.split(".")[1] for key in flat if key.startswith(f"{group}.")}


class _Composer:
    """Compose the configuration with a list of overrides and flatten it; results are cached."""

    def __init__(self, config_dir: str | None) -> None:
        folder = f"file://{Path(config_dir).absolute()}" if config_dir else None
        self._search = [f"hydra.searchpath=[{quote(folder)}]"] if folder else []
        self._cache: dict[tuple[str, ...], dict[str, Any]] = {}

    def __call__(self, overrides: list[str]) -> dict[str, Any]:
        from hydra import compose, initialize_config_dir
        from hydra.errors import HydraException

        from zoo.cli.sentences import composition_sentence

        key = tuple(overrides)
        if key not in self._cache:
            with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
                try:
                    config = compose("config", overrides=[*overrides, *self._search])
                    plain = OmegaConf.to_container(config, resolve=True)
                except HydraException as error:
                    sentence = composition_sentence(error, overrides, CONFIGS)
                    raise ZooError(sentence) from error
            assert isinstance(plain, dict)
            self._cache[key] = dict(_leaves({str(k): v for k, v in plain.items()}))
        return self._cache[key]


def _leaves(node: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its dotted key; a mapping that is one value (`schedules`) is a leaf."""
    for name, value in node.items():
        key = f"{place}.{name}" if place else name
        whole = any("." in str(k) for k in value) if isinstance(value, dict) else True
        if isinstance(value, dict) and value and not whole and key != "model.schedules":
            yield from _leaves(value, key)
        else:
            yield key, value


def _shipped(group: str) -> list[str]:
    """The names of the group's shipped YAML files."""
    return sorted(p.stem for p in (CONFIGS / group).glob("*.yaml"))


def _part_choices(
    values: dict[str, Any], user: _UserChoices, file: Path
) -> tuple[list[str], dict[str, Any]]:
    """Return the overrides that choose the parts by name, and the parts' options by dotted key."""
    choices: list[str] = []
    options: dict[str, Any] = {}
    for kind, group in GROUPS.items():
        first, _, second = group.partition("/")
        section = values.get(first)
        if kind == "task" or not isinstance(section, dict) or (second and second not in section):
            continue
        place = group.replace("/", ".")
        node = section[second] if second else section
        nodes = node if isinstance(node, list) else [] if node is None else [node]
        names = [_name(kind, n, file) for n in nodes]
        if group in user.groups or any(
            t.startswith(f"{place}.") and "_target_" in t for t in user.touched
        ):
            continue  # the user's choice brings options of its own
        if KINDS[kind].several:
            present = {k.split(".")[2] for k in user.config if k.startswith(f"{place}.")}
            if set(names) != present:
                choices.append(f"{group}=[{','.join(names)}]")
            options[place] = {n: s["options"] for n, s in zip(names, nodes, strict=True)}
        elif not names:
            if f"{place}._target_" in user.config:
                choices.append(f"~{group}")
        else:
            if user.config.get(f"{place}._target_") != REGISTRY.get(kind, names[0]).target:
                choices.append(f"{group}={names[0]}")
            options[place] = nodes[0]["options"]
    return choices, options


def _name(kind: str, node: Any, file: Path) -> str:
    """Return the registered name of a part in the settings.

    Raises:
        ZooError: the settings name no part here, or one that is not registered.
    """
    name = node.get("name") if isinstance(node, dict) else None
    if not isinstance(name, str) or not isinstance(node.get("options"), dict):
        raise ZooError(f"{file} has settings that name no {kind}.")
    if not re.fullmatch(r"\w+", name):
        raise ZooError(f"{file} names the {kind} {name!r}, which is not a valid name of a part.")
    return REGISTRY.get(kind, name).name


def _with_options(values: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """Copy the settings, with each part's node replaced by its options.

    Args:
        values: the settings of the checkpoint.
        options: the options of parts by dotted key; other parts are left out.
    """
    copy = {k: dict(v) if isinstance(v, dict) else v for k, v in values.items()}
    for kind, group in GROUPS.items():
        first, _, second = group.partition("/")
        if kind == "task" or first not in copy:
            continue
        if second:
            copy[first].pop(second, None)
        else:
            copy[first] = {}
    for place, node in options.items():
        first, _, second = place.partition(".")
        if second:
            copy[first][second] = node
        else:
            copy[first] = node
    return copy


def _file_choices(values: dict[str, Any], groups: dict[str, str], compose: _Composer) -> list[str]:
    """Choose, for loggers and for callbacks, the shipped file that is closest to the settings."""
    choices = []
    for group in _SERVICES:
        if group in groups or group not in values:
            continue
        wanted = set(values[group] or {})
        if wanted == _names_in(compose([]), group):
            continue
        if not wanted:
            choices.append(f"~{group}")
            continue

        def difference(name: str, group: str = group, wanted: set[str] = wanted) -> int:
            return len(_names_in(compose([f"{group}={name}"]), group) ^ wanted)

        choices.append(f"{group}={min(_shipped(group), key=difference)}")
    return choices


def _deletions(values: dict[str, Any], groups: dict[str, str], base: dict[str, Any]) -> list[str]:
    """Overrides that delete the loggers and callbacks that the settings do not have."""
    return [
        f"~{group}.{name}"
        for group in _SERVICES
        if group not in groups and values.get(group)
        for name in dict.fromkeys(k.split(".")[1] for k in base if k.startswith(f"{group}."))
        if name not in values[group]
    ]


def is_sweep(override: str) -> bool:
    """Whether an override names several values."""
    from hydra.errors import HydraException

    try:
        return override_parser().parse_override(override).is_sweep_override()
    except HydraException:  # reported when the command line is checked
        return False


def _override(
    key: str, value: Any, base: dict[str, Any], file: Path, own: bool, given: list[str]
) -> list[str]:
    """Return the override of one setting, or nothing where the user sets it.

    Args:
        key: the dotted key of the setting.
        value: its value.
        base: the flat configuration to which the override is applied.
        file: the checkpoint, for error messages.
        own: whether this user's own zoo wrote the settings.
        given: the user's overrides of values.

    Raises:
        ZooError: a setting from elsewhere needs the user's confirmation.
    """
    if any(_is_within(key, key_of(a)) for a in given):
        return []
    section, _, rest = key.partition(".")
    exists = any(_is_within(place, key) for place in base)
    if section == "logger" and rest.partition(".")[2] in _LOCAL_LOGGING and not own:
        return []  # only the user may set it
    if section in _SERVICES:
        name = rest.split(".")[0]
        target = base.get(f"{section}.{name}._target_")
        if target is None and value is None:
            return []
        is_target = rest.endswith("_target_")
        if not own and (is_target or target is None):
            wanted = value if is_target else "a class"
            raise ZooError(
                f"{file} asks for {section}.{name}, {wanted}, which no configuration file of this "
                f"zoo names: if you trust it, add +{section}.{name}._target_=… to the command."
            )
    if not own and leads_elsewhere(key, value):
        raise ZooError(
            f"{file} comes from elsewhere and asks for {key}={value}, which says where to read or "
            f"write: if that is right, add {argument(key, str(value))} to the command."
        )
    if section == "logger" and not exists and not own:  # such as one that uploads the user's code
        raise ZooError(
            f"{file} comes from elsewhere and asks for {key}={value}, an option that no "
            f"configuration file of this zoo has: if that is right, add "
            f"+{argument(key, str(value))} to the command."
        )
    sign = "" if exists else "++"
    return [f"{sign}{key}={written(value)}"]


def written(value: Any) -> str:
    """Write a plain value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    return repr(value)
