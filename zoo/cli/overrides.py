"""The command line's overrides: spellings that are allowed, and words for those that are wrong."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo.cli.grammar import key_of, quote, value_of
from zoo.cli.program import program
from zoo.cli.store import experiments
from zoo.cli.validation import validate
from zoo.core.errors import ZooError, listing, suggest
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS, KINDS

OPTIONAL = (
    "callbacks", "logger", "model/head", "model/regularizer", "model/augmentation",
    "experiment", "hparams_search",
)  # fmt: skip
"""Groups of which a run may have nothing."""


def normalise(arguments: list[str]) -> list[str]:
    """Allow `experiment=name.yaml`, `logger=null`, and `features=timm model=NAME`.

    File names come from completion, Hydra's own word for a group's null is `~logger`, and `model`
    is otherwise the group of the GAN's parts (features have theirs in `features=timm/NAME`).
    """
    arguments = [
        re.sub(r"^(\+?(?:experiment|hparams_search)=.*)\.ya?ml$", r"\1", a) for a in arguments
    ]
    lists = [row.group for row in KINDS.values() if row.several and row.group]
    single = [group for group in OPTIONAL if group not in lists]
    arguments = [re.sub(rf"^({'|'.join(lists)})=null$", r"\1=[]", a) for a in arguments]
    arguments = [re.sub(rf"^({'|'.join(single)})=null$", r"~\1", a) for a in arguments]
    model = value_of(arguments, "model")
    if value_of(arguments, "features") == "timm" and model is not None:
        names = ",".join(f"timm/{name.strip()}" for name in model.split(","))
        rest = [a for a in arguments if key_of(a) != "model"]
        return [f"features={names}" if key_of(a) == "features" else a for a in rest]
    return arguments


def collect_space(arguments: list[str]) -> list[str]:
    """For `task=tune`: overrides with several values become the list `space`."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    searches = value_of(arguments, "hparams_search") not in (None, "null")
    if (value_of(arguments, "task") or ("tune" if searches else "train")) != "tune":
        return arguments
    parser = OverridesParser.create()
    rest: list[str] = []
    space: list[str] = []
    for text in arguments:
        try:
            searched = parser.parse_override(text).is_sweep_override()
        except HydraException:  # a flag, or a mistake that is told later
            searched = False
        (space if searched else rest).append(text)
    if space and value_of(rest, "space"):
        raise ZooError(f"{space[0]} stands beside space=…: write what is searched in one of them.")
    return [*rest, f"space=[{','.join(map(quote, space))}]"] if space else arguments


def flags(arguments: list[str]) -> argparse.Namespace:
    """The command line as Hydra's own parser takes it apart.

    Raises:
        ZooError: an unknown flag, or several that exclude each other.
    """
    from hydra._internal.utils import get_args_parser

    def refuse(message: str) -> NoReturn:
        raise ZooError(f"{message}; options are written key=value (see {program()} --help).")

    parser = get_args_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(arguments)


def check(arguments: list[str], config_dir: Path, only_prints: bool = False) -> None:
    """Compose the configuration to find what is wrong with the overrides; takes no torch.

    Of a sweep, every value is composed once, not every combination.

    Args:
        arguments: the command line.
        only_prints: nothing will run, so that the run's folder does not matter.

    Raises:
        ZooError: one sentence about the first wrong override, with the choices.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Glob, IntervalSweep
    from hydra.errors import HydraException

    given = flags(arguments)
    parser = OverridesParser.create()
    sets: list[list[str]] = [[]]
    for text in given.overrides:
        try:
            parsed = parser.parse_override(text)
        except HydraException as error:
            raise ZooError(_grammar_sentence(text, error)) from error
        if not parsed.is_sweep_override():
            sets = [[*s, text] for s in sets]
            continue
        if isinstance(parsed.value(), IntervalSweep):
            raise ZooError(f"{text} has no end of values: search it with task=tune.")
        if not given.multirun:
            choices = "" if isinstance(parsed.value(), Glob) else (
                f", or choose one of {listing(parsed.sweep_string_iterator())}"
            )  # fmt: skip
            raise ZooError(f"{text} names several values: add -m to run them all{choices}.")
        if isinstance(parsed.value(), Glob):
            continue  # it names only what there is
        each = [f"{parsed.get_key_element()}={v}" for v in parsed.sweep_string_iterator()]
        # Every value once, each with the first value of all other sweeps.
        sets = [*([*s, each[0]] for s in sets), *([*sets[0], e] for e in each[1:])]
    folders = [f"file://{Path(d).absolute()}" for d in [given.config_dir] if d]
    search = [f"hydra.searchpath=[{','.join(map(quote, folders))}]"] if folders else []
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir)):
        for overrides in sets:
            _check_null(overrides)
            try:
                config = compose("config", overrides=overrides + search, return_hydra_config=True)
            except HydraException as error:
                raise ZooError(composition_sentence(error, overrides, config_dir)) from error
            except OmegaConfBaseException as error:
                raise ZooError(omegaconf_sentence(error)) from error
            if not only_prints:
                validate(config)
                _check_folder(config, given.multirun)


def _check_null(overrides: list[str]) -> None:
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+")
        if value == "null" and key in (*OPTIONAL, *GROUPS.values(), "model", "trainer"):
            reason = "no value of a sweep" if key in OPTIONAL else "not possible: choose one"
            raise ZooError(f"{key}=null is {reason} ({program()} --help shows the choices).")


def _check_folder(config: Any, sweep: bool) -> None:
    from zoo.cli.resume import check_no_sweep, check_no_training

    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    try:
        folder = Path(str(OmegaConf.select(config, key)))
    except OmegaConfBaseException as error:
        raise ZooError(f"{key}: {' '.join(str(error).split())}") from error
    nearest = next(p for p in [folder, *folder.parents] if p.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise ZooError(
            f"the run's folder {folder} cannot be written, because {nearest} is "
            f"{'read-only' if nearest.is_dir() else 'not a folder'}; "
            f"choose another one with {key}=…"
        )
    if config.task.name != "train":
        return
    if not sweep:
        check_no_training(folder, config.get("resume") or config.get("ckpt"))
        return
    with contextlib.suppress(OmegaConfBaseException):  # it depends on the job
        if name := OmegaConf.select(config, "hydra.sweep.subdir"):
            check_no_training(folder / str(name), None)
            return
    check_no_sweep(folder)


def _grammar_sentence(text: str, error: Exception) -> str:
    if "=" not in text and not text.startswith("~"):
        return f"{text!r} is no override: write key=value, for example model/loss=hinge."
    reason = next((line for line in str(error).splitlines() if line.strip()), "")
    return (
        f"the override {text!r} cannot be read ({reason.strip()}); quote values with special "
        "characters twice, for example \"'ckpt=\\'a=b.ckpt\\''\"."
    )


def composition_sentence(error: Exception, overrides: list[str], config_dir: Path) -> str:
    """What Hydra's error in composing `overrides` means, with the choices."""
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
    available = text.partition("Available options in")[2].partition("Config search path")[0]
    choices = [line.strip() for line in available.splitlines()[1:] if line.strip()]
    if group == "experiment":
        choices = experiments(config_dir)
    kind = next((k for k, g in GROUPS.items() if g == group), None)
    broken = ""
    if kind:
        choices = sorted({*choices, *(p.name for p in REGISTRY.parts(kind))} - {"options"})
        broken = "".join(f" (Plugin {place} is broken: {why})" for place, why in REGISTRY.problems)
    return (
        f"{group}={name}: there is no such choice.{suggest(name, choices)} "
        f"Choices: {listing(choices)}.{broken}"
    )


def _no_group(key: str) -> str:
    return (
        f"{key} is no group of choices.{suggest(key, GROUPS.values())} "
        f"Groups: {listing(GROUPS.values())}."
    )


def _no_key(key: str, overrides: list[str]) -> str:
    """Words for an unknown key: compose again without value overrides to see what there is."""
    from hydra import compose
    from hydra.errors import HydraException

    parent, _, name = key.rpartition(".")
    plain = [
        o
        for o in overrides
        if "/" in key_of(o)
        or key_of(o)
        in ("task", "datamodule", "experiment", "model", "trainer", "logger", "callbacks")
    ]
    try:
        config = compose("config", overrides=plain)
        node = OmegaConf.select(config, parent) if parent else config
    except (HydraException, OmegaConfBaseException):
        node = None
    if node is None:
        top = [str(k) for k in compose("config")]
        first = key.split(".")[0]
        return (
            f"there is no option {key!r}.{suggest(first, top)} Top-level options: {listing(top)}."
        )
    if not OmegaConf.is_dict(node):
        return f"{parent} is a single value, so {key!r} does not exist."
    keys = [str(k) for k in node if not str(k).startswith("_")]
    place = parent or "the configuration"
    more = ""
    if parent == "trainer" or str(node.get("_target_", "")).startswith("pytorch_lightning."):
        more = f" Further ones of Lightning's are added with a plus: +{key}=… ."
    return f"{place} has no option {name!r}.{suggest(name, keys)} It has: {listing(keys)}.{more}"


def omegaconf_sentence(error: Exception) -> str:
    """Words for a missing or unresolvable value."""
    text = str(error)
    key = getattr(error, "full_key", None) or ""
    if "Missing mandatory value" in text or "MissingMandatoryValue" in type(error).__name__:
        key = key or text.rsplit(":", 1)[-1].strip()
        return f"{key} is missing: give it as {key}=…"
    return f"{key}: {' '.join(text.split())}" if key else " ".join(text.split())
