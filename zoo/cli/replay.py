"""A checkpoint's settings as overrides, beside those that the user gives now."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from zoo.cli.grammar import argument, key_of, override_parser, quote
from zoo.cli.settings import leads_elsewhere
from zoo.cli.store import CONFIGS, store_parts
from zoo.core.errors import ZooError
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS, KINDS

_CHOICES = ("trainer", "logger", "callbacks", "experiment", "debug", "model")
"""Groups of shipped files, beside those of parts."""
_NOTHING = object()
_SENT_NOWHERE = {"offline": "true", "tracking_uri": "local"}
"""Options of loggers with the values under which the log stays on this machine."""


def overrides_of(
    values: dict[str, Any], given: list[str], file: Path, own: bool, config_dir: str | None = None
) -> list[str]:
    """The overrides that make the settings of a checkpoint, without what is given anew.

    Args:
        values: as `zoo.cli.settings.checked` gives them.
        given: the user's overrides, which hold where both say something.
        own: the settings were written by this user's zoo: they may read and write elsewhere.

    Raises:
        ZooError: they name a part or a class that is not here, or lead elsewhere.
    """
    groups = {key_of(a): a for a in given if _is_group(key_of(a))}
    said = [a for a in given if not _is_group(key_of(a))]
    deleted = [key_of(a) for a in said if a.startswith("~")]
    compose = _Composer(config_dir)
    one = [a for a in groups.values() if not is_sweep(a)]
    plain, chosen = compose([]), compose(one)
    touched = {k for k, v in chosen.items() if plain.get(k, _NOTHING) != v}
    touched |= plain.keys() - chosen.keys()
    for group in ("logger", "callbacks"):
        if _named(chosen, group) != _named(plain, group):
            groups.setdefault(group, "")  # chosen anew, by an experiment or a preset of debug=
    if "trainer" in groups:  # chosen anew: all that such files set
        for name in _shipped("trainer"):
            touched |= {k for k, v in compose([f"trainer={name}"]).items() if plain.get(k) != v}
    choices, parts = _part_choices(values, groups, touched, chosen, file)
    choices += _file_choices(values, groups, plain, compose)
    base = compose([*one, *choices])
    made = _left_out(values, groups, base)
    for key, value in _leaves(_with_parts(values, parts)):
        if key in touched or any(_below(key, d) for d in (*groups_of_parts(groups), *deleted)):
            continue
        if value == {} or base.get(key, _NOTHING) == value:
            continue
        section, _, rest = key.partition(".")
        name = f"{section}.{rest.split('.')[0]}"
        if (
            section in ("callbacks", "logger")
            and section in groups
            and f"{name}._target_" not in base
        ):
            continue  # chosen anew, without this one
        made += _override(key, value, base, file, own, said)
    return [*choices, *made, *([] if own else _kept_here(values, groups, base, said))]


def _kept_here(
    values: dict[str, Any], groups: dict[str, str], base: dict[str, Any], said: list[str]
) -> list[str]:
    """Overrides by which the log of a file from elsewhere is sent to nobody, unless it is asked."""
    if "logger" in groups:
        return []
    places = {
        f"logger.{name}.{option}": value
        for name in values.get("logger") or {}
        for option, value in _SENT_NOWHERE.items()
    }
    return [
        f"{place}={value}"
        for place, value in places.items()
        if place in base and not any(_below(place, key_of(a)) for a in said)
    ]


def groups_of_parts(groups: dict[str, str]) -> list[str]:
    """The dotted places of parts that are chosen anew."""
    return [g.replace("/", ".") for g in groups if g in GROUPS.values()]


def _is_group(key: str) -> bool:
    return key in (*_CHOICES, *GROUPS.values()) and key != "task"


def _below(key: str, place: str) -> bool:
    return key == place or key.startswith(f"{place}.")


def _named(flat: dict[str, Any], group: str) -> set[str]:
    """The names of the loggers, or callbacks, in a flat configuration."""
    return {key.split(".")[1] for key in flat if key.startswith(f"{group}.")}


class _Composer:
    """Compositions of the shipped files, flat; each set of choices once."""

    def __init__(self, config_dir: str | None) -> None:
        folder = f"file://{Path(config_dir).absolute()}" if config_dir else None
        self._search = [f"hydra.searchpath=[{quote(folder)}]"] if folder else []
        self._done: dict[tuple[str, ...], dict[str, Any]] = {}

    def __call__(self, overrides: list[str]) -> dict[str, Any]:
        from hydra import compose, initialize_config_dir
        from hydra.errors import HydraException

        from zoo.cli.sentences import composition_sentence

        key = tuple(overrides)
        if key not in self._done:
            with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
                try:
                    config = compose("config", overrides=[*overrides, *self._search])
                    plain = OmegaConf.to_container(config, resolve=True)
                except HydraException as error:
                    sentence = composition_sentence(error, overrides, CONFIGS)
                    raise ZooError(sentence) from error
            assert isinstance(plain, dict)
            self._done[key] = dict(_leaves({str(k): v for k, v in plain.items()}))
        return self._done[key]


def _leaves(node: dict[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted key; a mapping that is one value (`schedules`) stays whole."""
    for name, value in node.items():
        key = f"{place}.{name}" if place else name
        whole = any("." in str(k) for k in value) if isinstance(value, dict) else True
        if isinstance(value, dict) and value and not whole and key != "model.schedules":
            yield from _leaves(value, key)
        else:
            yield key, value


def _shipped(group: str) -> list[str]:
    return sorted(p.stem for p in (CONFIGS / group).glob("*.yaml"))


def _part_choices(
    values: dict[str, Any],
    groups: dict[str, str],
    touched: set[str],
    chosen: dict[str, Any],
    file: Path,
) -> tuple[list[str], dict[str, Any]]:
    """Overrides of groups by registered names, and the options of the parts by place."""
    choices: list[str] = []
    options: dict[str, Any] = {}
    for kind, group in GROUPS.items():
        first, _, second = group.partition("/")
        section = values.get(first)
        if kind == "task" or not isinstance(section, dict) or (second and second not in section):
            continue
        place = group.replace("/", ".")
        node = section[second] if second else section
        several = node if isinstance(node, list) else [] if node is None else [node]
        names = [_name(kind, n, file) for n in several]
        if group in groups or any(t.startswith(f"{place}.") and "_target_" in t for t in touched):
            continue  # chosen anew, with options of its own
        if KINDS[kind].several:
            there = {k.split(".")[2] for k in chosen if k.startswith(f"{place}.")}
            if set(names) != there:
                choices.append(f"{group}=[{','.join(names)}]")
            options[place] = {n: s["options"] for n, s in zip(names, several, strict=True)}
        elif not names:
            if f"{place}._target_" in chosen:
                choices.append(f"~{group}")
        else:
            if chosen.get(f"{place}._target_") != REGISTRY.get(kind, names[0]).target:
                choices.append(f"{group}={names[0]}")
            options[place] = several[0]["options"]
    return choices, options


def _name(kind: str, node: Any, file: Path) -> str:
    """The name of a part in the settings, which has to be a registered one."""
    name = node.get("name") if isinstance(node, dict) else None
    if not isinstance(name, str) or not isinstance(node.get("options"), dict):
        raise ZooError(f"{file} has settings that name no {kind}.")
    if not re.fullmatch(r"\w+", name):
        raise ZooError(f"{file} names the {kind} {name!r}, which can be no part's name.")
    return REGISTRY.get(kind, name).name


def _with_parts(values: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    """The settings with the options of parts where the configuration has them."""
    made = {k: dict(v) if isinstance(v, dict) else v for k, v in values.items()}
    for kind, group in GROUPS.items():
        first, _, second = group.partition("/")
        if kind == "task" or first not in made:
            continue
        if second:
            made[first].pop(second, None)
        else:
            made[first] = {}
    for place, options in parts.items():
        first, _, second = place.partition(".")
        if second:
            made[first][second] = options
        else:
            made[first] = options
    return made


def _file_choices(
    values: dict[str, Any], groups: dict[str, str], plain: dict[str, Any], compose: _Composer
) -> list[str]:
    """For loggers and callbacks, the shipped file that holds most of those in the settings."""
    choices = []
    for group in ("logger", "callbacks"):
        if group in groups or group not in values:
            continue
        wanted = set(values[group] or {})
        if wanted == _named(plain, group):
            continue
        if not wanted:
            choices.append(f"~{group}")
            continue

        def apart(name: str, group: str = group, wanted: set[str] = wanted) -> int:
            flat = compose([f"{group}={name}"])
            return len(_named(flat, group) ^ wanted)

        choices.append(f"{group}={min(_shipped(group), key=apart)}")
    return choices


def _left_out(values: dict[str, Any], groups: dict[str, str], base: dict[str, Any]) -> list[str]:
    """Deletions of the loggers and callbacks that the settings do not have."""
    return [
        f"~{group}.{name}"
        for group in ("logger", "callbacks")
        if group not in groups and values.get(group)
        for name in dict.fromkeys(k.split(".")[1] for k in base if k.startswith(f"{group}."))
        if name not in values[group]
    ]


def is_sweep(override: str) -> bool:
    """Whether an override names several values."""
    from hydra.errors import HydraException

    try:
        return override_parser().parse_override(override).is_sweep_override()
    except HydraException:  # told later
        return False


def _override(
    key: str,
    value: Any,
    base: dict[str, Any],
    file: Path,
    own: bool,
    given: list[str],
) -> list[str]:
    if any(_below(key, key_of(a)) for a in given):
        return []  # the user says it
    section, _, rest = key.partition(".")
    known = any(_below(place, key) for place in base)
    if section == "logger" and rest.partition(".")[2] in _SENT_NOWHERE and not own:
        return []  # the user's to say
    if section in ("callbacks", "logger"):
        name = rest.split(".")[0]
        target = base.get(f"{section}.{name}._target_")
        if target is None and value is None:
            return []
        if rest.endswith("_target_") or (target is None and not own):
            asked = value if rest.endswith("_target_") else "a class"
            if not own:
                raise ZooError(
                    f"{file} asks for {section}.{name}, {asked}, which no file of this zoo names: "
                    f"if you trust it, give +{section}.{name}._target_=… again beside resume=…"
                )
    if not own and leads_elsewhere(key, value):
        raise ZooError(
            f"{file} comes from elsewhere and asks for {key}={value}, which says where to read or "
            f"write: if that is right, give {argument(key, str(value))} beside resume=…"
        )
    if section == "logger" and not known and not own:  # such as one that sends the user's code
        raise ZooError(
            f"{file} comes from elsewhere and asks for {key}={value}, which no file of this zoo "
            f"has: if that is right, give +{argument(key, str(value))} beside resume=…"
        )
    sign = "" if known else "++"
    return [f"{sign}{key}={written(value)}"]


def written(value: Any) -> str:
    """A plain value in Hydra's grammar."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}:{written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    return repr(value)


def old_values(saved: Any, given: list[str], file: Path) -> dict[str, Any]:
    """The settings of a checkpoint that keeps overrides, as those before version 0.2 do.

    Raises:
        ZooError: an override is none that a training writes down.
    """
    from hydra.errors import HydraException

    from zoo.cli.settings import settings_of

    if not isinstance(saved, list) or not all(isinstance(o, str) for o in saved):
        raise ZooError(f"{file} has overrides in its description that are no list of texts.")
    kept = []
    for text in saved:
        refused = ZooError(
            f"{file} asks for {text!r}, which no training of this zoo writes down and which could "
            "run any code: it is not continued."
        )
        key = key_of(text)
        parts = re.findall(r"\w+", key)
        if "hydra" in parts or "@" in key or "${" in text or text.lstrip().startswith("-"):
            raise refused
        if parts[:1] == ["task"] or key in ("resume", "ckpt", "hparams_search", "debug"):
            continue
        if text == "model.channels_last=null":  # an older word for true
            continue
        if text in given:  # which the user trusts
            continue
        if "_target_" in text:
            raise ZooError(
                f"{file} asks for {text!r}, which names code to run: if you trust it, give this "
                "override again beside resume=…"
            )
        try:
            parsed = override_parser().parse_override(text)
        except HydraException:
            raise refused from None
        if _is_group(key) and not text.startswith("~"):
            names = parsed.value()
            for name in names if isinstance(names, list) else [names]:
                if name is not None and not re.fullmatch(r"[\w-]+", str(name)):
                    raise refused
        kept.append(text)
    from hydra import compose, initialize_config_dir

    from zoo.cli.sentences import composition_sentence

    store_parts()
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        try:
            config = compose("config", overrides=kept)
            plain = OmegaConf.to_container(config, resolve=True)
        except HydraException as error:
            raise ZooError(f"{file}: {composition_sentence(error, kept, CONFIGS)}") from error
    assert isinstance(plain, dict)
    return settings_of({str(k): v for k, v in plain.items()})["values"]
