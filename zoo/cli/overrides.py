"""The command line's overrides: spellings that are allowed, and words for those that are wrong."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from zoo.cli.grammar import key_of, override_parser, quote, value_of, with_home, with_text
from zoo.cli.hydra_internals import argument_parser
from zoo.cli.program import program
from zoo.cli.sentences import composition_sentence, grammar_sentence, omegaconf_sentence
from zoo.cli.validation import validate
from zoo.core.errors import ZooError, listing
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS, KINDS
from zoo.registry.kinds import SECTIONS as KIND_SECTIONS

OPTIONAL = (
    "callbacks", "logger", "model/head", "model/regularizer", "model/augmentation",
    "experiment", "hparams_search", "debug",
)  # fmt: skip
"""Groups of which a run may have nothing."""


SWITCHES = {"debug=true": "debug=default", "debug=false": "debug=null"}
"""Presets that are also switched on and off."""
MOST_RUNS = 10_000
"""The most runs of one sweep."""
SECTIONS = (
    "datamodule", "model", "trainer", "logger", "callbacks", "experiment", "hparams_search",
    "data_dir", "tags",
)  # fmt: skip
"""The sections of the configuration that only the tasks look at which name them in `uses`."""


def normalise(arguments: list[str]) -> list[str]:
    """Allow `experiment=name.yaml`, `logger=null`, `start=RUN`, and `features=timm model=NAME`.

    File names come from completion, Hydra's own word for a group's null is `~logger`, `start` is
    short for `model.start` as `resume` stands alone, `debug=true` is a switch where `debug` is a
    group, and `model` is otherwise the group of the
    GAN's parts (features have theirs in `features=timm/NAME`). The home folder is written out where
    a value begins with `~/`, and what Hydra's grammar cannot read is text.
    """
    arguments = [a if a.startswith("-") else with_text(with_home(a)) for a in arguments]
    arguments = [re.sub(r"^start=", "model.start=", a) for a in arguments]
    arguments = [SWITCHES.get(a.lower(), a) for a in arguments]
    arguments = [
        re.sub(r"^(\+?(?:experiment|hparams_search)=.*)\.ya?ml$", r"\1", a) for a in arguments
    ]
    lists = [row.group for row in KINDS.values() if row.several and row.group]
    single = [group for group in OPTIONAL if group not in lists]
    arguments = [re.sub(rf"^({'|'.join(lists)})=null$", r"\1=[]", a) for a in arguments]
    arguments = [re.sub(rf"^({'|'.join(single)})=null$", r"~\1", a) for a in arguments]
    arguments = [re.sub(rf"^({'|'.join(KIND_SECTIONS)})=", r"+\1=", a) for a in arguments]
    model = value_of(arguments, "model")
    network = value_of(arguments, "features")
    if model is not None and network is not None and _takes_model(network):
        names = ",".join(f"{network}/{name.strip()}" for name in model.split(","))
        rest = [a for a in arguments if key_of(a) != "model"]
        return [f"features={names}" if key_of(a) == "features" else a for a in rest]
    return arguments


def _takes_model(network: str) -> bool:
    """Whether a feature network is one of many, told apart by an option `model`."""
    part = next((p for p in REGISTRY.parts("features") if p.name == network), None)
    return part is not None and "model" in {p.name for p in part.options}


def collect_space(arguments: list[str]) -> list[str]:
    """For `task=tune`: overrides with several values become the list `space`."""
    from hydra.errors import HydraException

    searches = value_of(arguments, "hparams_search") not in (None, "null")
    if (value_of(arguments, "task") or ("tune" if searches else "train")) != "tune":
        return arguments
    parser = override_parser()
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

    def refuse(message: str) -> NoReturn:
        raise ZooError(f"{message}; options are written key=value (see {program()} --help).")

    parser = argument_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(arguments)


def check(arguments: list[str], config_dir: Path, only_prints: bool = False) -> DictConfig | None:
    """Compose the configuration and say what is wrong with the overrides; takes no torch.

    Of a sweep, every value is composed once, not every combination.

    Args:
        arguments: the command line.
        only_prints: nothing will run, so that the run's folder does not matter.

    Returns:
        The configuration of a single run, with Hydra's own settings; None for a sweep.

    Raises:
        ZooError: one sentence about the first wrong override, with the choices.
    """
    from hydra import initialize_config_dir

    given = flags(arguments)
    _check_flags(given)
    sets = _expanded(given.overrides, given.multirun, config_dir)
    named = value_of(given.overrides, "task")
    if not only_prints and named in {p.name for p in REGISTRY.parts("task")}:
        _check_used(str(named), given.overrides)  # before what it is not to say is looked for
    config = None
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir)):
        for overrides in sets:
            _check_null(overrides)
            config = _composed(overrides, config_dir, given.config_dir)
            if not only_prints:
                task = validate(config)
                _check_used(task, given.overrides)
                _check_folder(config, task, given.multirun)
    return None if given.multirun else config


def _expanded(overrides: list[str], multirun: bool, config_dir: Path) -> list[list[str]]:
    """The overrides of each run that has to be composed so that every value of a sweep is once."""
    from hydra.core.override_parser.types import Glob, IntervalSweep

    sets: list[list[str]] = [[]]
    for text in overrides:
        parsed = _parsed(text, config_dir)
        if not parsed.is_sweep_override():
            _check_choice(text, parsed)
            sets = [[*s, text] for s in sets]
            continue
        if isinstance(parsed.value(), IntervalSweep):
            raise ZooError(f"{text} has no end of values: search it with task=tune")
        globs = isinstance(parsed.value(), Glob)
        values = [] if globs else _values(text, parsed)
        if not multirun:
            choices = f", or choose one of {listing(values[:20])}" if values else ""
            raise ZooError(f"{text} names several values: add -m to run them all{choices}.")
        if globs:
            continue  # it names only what there is
        each = [f"{parsed.get_key_element()}={v}" for v in values]
        # Every value once, each with the first value of all other sweeps.
        sets = [*([*s, each[0]] for s in sets), *([*sets[0], e] for e in each[1:])]
    return sets


def _parsed(text: str, config_dir: Path) -> Any:
    """An override as Hydra's grammar reads it."""
    from hydra.errors import HydraException

    try:
        return override_parser().parse_override(text)
    except HydraException as error:
        raise ZooError(grammar_sentence(text, error, config_dir)) from error
    except Exception as error:  # the grammar's own mistakes
        raise ZooError(f"the override {text!r} cannot be read; write key=value") from error


def _composed(overrides: list[str], config_dir: Path, more: str | None) -> DictConfig:
    """The configuration of one run.

    Args:
        overrides: of this run.
        config_dir: the program's own choices.
        more: a folder of further ones.
    """
    from hydra import compose
    from hydra.errors import HydraException

    search = [f"hydra.searchpath=[{quote(f'file://{Path(more).absolute()}')}]"] if more else []
    try:
        return compose("config", overrides=overrides + search, return_hydra_config=True)
    except HydraException as error:
        raise ZooError(composition_sentence(error, overrides, config_dir)) from error
    except OmegaConfBaseException as error:
        raise ZooError(omegaconf_sentence(error)) from error
    except Exception as error:  # Python's own, of values that Hydra does not expect
        raise ZooError(
            f"the overrides {' '.join(overrides)!r} cannot be composed: "
            f"{' '.join(str(error).split())}."
        ) from error


def _check_flags(given: argparse.Namespace) -> None:
    """Refuse flags of Hydra's that lead away from this program's configuration."""
    if given.config_name not in (None, "config") or given.config_path is not None:
        raise ZooError(
            "--config-name and --config-path choose another configuration, of which this program "
            "has none: add a folder of choices with --config-dir."
        )
    if given.config_dir and not Path(given.config_dir).is_dir():
        raise ZooError(f"--config-dir={given.config_dir} is no folder.")
    if given.experimental_rerun is not None:
        raise ZooError("--experimental-rerun is not taken: go on with a run by resume=… .")


def _check_choice(text: str, parsed: Any) -> None:
    """Refuse a value that can be no choice of a group, or a key that can be none."""
    key = key_of(text).split("@")[0]
    if not re.fullmatch(r"[^\W\d][\w-]*([./][^\W\d][\w-]*)*", key):
        raise ZooError(f"{text!r} has no name that an option could have: write key=value")
    if key not in (*GROUPS.values(), *OPTIONAL, "model", "trainer") or text.startswith("~"):
        return
    from hydra.core.override_parser.types import QuotedString

    value = parsed.value()
    names = value if isinstance(value, list) else [value]
    if value is not None and not all(type(n) in (str, QuotedString) and str(n) for n in names):
        raise ZooError(f"{text}: {key} is chosen by name ({program()} --help shows the choices).")


def _values(text: str, parsed: Any) -> list[str]:
    """The values of a sweep.

    Raises:
        ZooError: there are more than anybody runs, or none.
    """
    from hydra.core.override_parser.types import RangeSweep

    value = parsed.value()
    if isinstance(value, RangeSweep):
        step, start, stop = (float(v or 0) for v in (value.step, value.start, value.stop))
        steps = abs((stop - start) / step) if step else math.inf
        if not steps <= MOST_RUNS:
            raise ZooError(f"{text} names more than {MOST_RUNS:,} values.")
    try:
        found = [str(v) for v in itertools.islice(parsed.sweep_string_iterator(), MOST_RUNS)]
    except Exception as error:
        raise ZooError(f"{text} names no values: {' '.join(str(error).split())}.") from error
    if not found:
        raise ZooError(f"{text} names no value at all.")
    return found


def _check_used(task: str, overrides: list[str]) -> None:
    """Refuse what the user sets and the task does not look at."""
    part = REGISTRY.get("task", task)
    live = part.load()
    used = {*live.uses, *(p.name for p in part.parameters)}
    for override in overrides:
        key = key_of(override).split("@")[0]
        first = re.split(r"[./]", key)[0].lstrip("+")
        first = KIND_SECTIONS.get(first, first)
        if first not in SECTIONS or first in used:
            continue
        if override in ("~experiment", "~hparams_search"):  # of which there is none anyway
            continue
        if first == "experiment" and not any(key_of(o) == "task" for o in overrides):
            continue  # which chooses the task
        instead = live.instead.get(first, "")
        raise ZooError(
            f"{override}: task={task} does not use {first}{instead and f' ({instead})'}, so leave "
            f"it out. Its options: {listing(p.name for p in part.parameters)}."
        )


def _check_null(overrides: list[str]) -> None:
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+")
        if value == "null" and key in (*OPTIONAL, *GROUPS.values(), "model", "trainer"):
            reason = "no value of a sweep" if key in OPTIONAL else "not possible: choose one"
            raise ZooError(f"{key}=null is {reason} ({program()} --help shows the choices).")


def _check_folder(config: Any, task: str, sweep: bool) -> None:
    from zoo.cli.resume import check_no_sweep, check_no_training

    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    try:
        named = OmegaConf.select(config, key)
    except OmegaConfBaseException as error:
        raise ZooError(f"{key}: {' '.join(str(error).split())}") from error
    if not isinstance(named, str) or not named.strip() or "\0" in named:
        raise ZooError(f"{key}={'' if named is None else named} names no folder.")
    folder = Path(named).expanduser()
    nearest = next(p for p in [folder, *folder.parents] if os.path.lexists(p))
    writes = sweep or REGISTRY.get("task", task).load().writes_files
    if writes and (not nearest.is_dir() or not os.access(nearest, os.W_OK)):
        nowhere = "not a folder" if nearest.exists() else "a link to nowhere"
        raise ZooError(
            f"the run's folder {folder} cannot be written, because {nearest} is "
            f"{'read-only' if nearest.is_dir() else nowhere}; choose another one with {key}=…"
        )
    if task != "train":
        return
    if not sweep:
        resume = config.get("resume") or config.get("ckpt")
        check_no_training(folder, resume)
        for node in (config.get("callbacks") or {}).values():
            if node is not None and node.get("folder"):  # elsewhere than in the run's folder
                check_no_training(Path(str(node.folder)), resume)
        return
    with contextlib.suppress(OmegaConfBaseException):  # it depends on the job
        if name := OmegaConf.select(config, "hydra.sweep.subdir"):
            check_no_training(folder / str(name), None)
            return
    check_no_sweep(folder)
