"""Normalise the overrides on the command line, and explain those that are wrong."""

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
from zoo.core.errors import ZooError, listing, suggest
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS, KINDS
from zoo.registry.kinds import SECTIONS as KIND_SECTIONS

OPTIONAL = (
    "callbacks", "logger", "model/head", "model/regularizer", "model/augmentation",
    "experiment", "hparams_search", "debug",
)  # fmt: skip
"""Groups from which a run may choose nothing."""


SWITCHES = {"debug=true": "debug=default", "debug=false": "debug=null"}
"""Overrides that may be written as a switch, with the choices that they stand for."""
MOST_RUNS = 10_000
"""The largest number of runs in one sweep."""
SECTIONS = (
    "datamodule", "model", "trainer", "logger", "callbacks", "experiment", "hparams_search",
    "data_dir", "tags",
)  # fmt: skip
"""The sections of the configuration that a task reads only if it names them in `uses`."""


def normalise(arguments: list[str]) -> list[str]:
    """Rewrite convenient spellings of overrides as those that Hydra understands.

    - `~/` at the beginning of a value becomes the home folder, and values that Hydra's grammar
      cannot read are quoted.
    - `start=RUN` becomes `model.start=RUN`.
    - `debug=true` and `debug=false` become `debug=default` and no preset.
    - `experiment=name.yaml`, as a shell completes it, loses its suffix.
    - `logger=null` becomes `~logger`, and `null` for a group with several choices becomes `[]`.
    - `callback=video` becomes `+callback=video`.
    - `features=timm model=NAME` becomes `features=timm/NAME`, since `model` is otherwise the group
      of the GAN's parts.
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
    """Whether a feature network has an option `model` that selects one of many networks."""
    part = next((p for p in REGISTRY.parts("features") if p.name == network), None)
    return part is not None and "model" in {p.name for p in part.options}


def collect_space(arguments: list[str]) -> list[str]:
    """Collect the overrides with several values into the option `space`, if the task is `tune`.

    Raises:
        ZooError: there are such overrides beside `space=…`.
    """
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
        except HydraException:  # a flag, or a mistake that is reported later
            searched = False
        (space if searched else rest).append(text)
    if space and value_of(rest, "space"):
        raise ZooError(
            f"{space[0]} and space=… both say what to search: put everything into one of them."
        )
    return [*rest, f"space=[{','.join(map(quote, space))}]"] if space else arguments


def flags(arguments: list[str]) -> argparse.Namespace:
    """Parse the command line with Hydra's own parser.

    Raises:
        ZooError: a flag is unknown, or several exclude each other.
    """

    def refuse(message: str) -> NoReturn:
        raise ZooError(f"{message}; options are written key=value (see {program()} --help).")

    parser = argument_parser()
    parser.error = refuse  # type: ignore[method-assign]
    return parser.parse_args(arguments)


def check(arguments: list[str], config_dir: Path, only_prints: bool = False) -> DictConfig | None:
    """Compose the configuration and check every override, without importing torch.

    For a sweep, every value is composed once, but not every combination of values.

    Args:
        arguments: the command line.
        config_dir: the folder of the program's configuration files.
        only_prints: whether Hydra will only print something, in which case the run's folder is not
            checked.

    Returns:
        The configuration of a single run, with Hydra's own settings; None for a sweep.

    Raises:
        ZooError: an override is wrong; the message explains the first one and lists the choices.
    """
    from hydra import initialize_config_dir

    given = flags(arguments)
    _check_flags(given)
    sets = _expanded(given.overrides, given.multirun, config_dir)
    task_name = value_of(given.overrides, "task")
    if not only_prints and task_name in {p.name for p in REGISTRY.parts("task")}:
        # Report a section that the task does not use before errors in that section.
        _check_used(str(task_name), given.overrides)
    config = None
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir)):
        for overrides in sets:
            _check_null(overrides)
            config = _composed(overrides, config_dir, given.config_dir)
            if not only_prints:
                task = validate(config)
                _check_used(task, given.overrides)
                _check_read(config, task, overrides)
                _check_folder(config, task, given.multirun)
    return None if given.multirun else config


def _expanded(overrides: list[str], multirun: bool, config_dir: Path) -> list[list[str]]:
    """Return the overrides of a few runs that together contain every value of a sweep.

    Raises:
        ZooError: an override cannot be read, or names several values without `multirun`.
    """
    from hydra.core.override_parser.types import Glob, IntervalSweep

    sets: list[list[str]] = [[]]
    for text in overrides:
        parsed = _parsed(text, config_dir)
        if not parsed.is_sweep_override():
            _check_choice(text, parsed)
            sets = [[*s, text] for s in sets]
            continue
        if isinstance(parsed.value(), IntervalSweep):
            raise ZooError(f"{text} is a continuous interval: search it with task=tune")
        globs = isinstance(parsed.value(), Glob)
        values = [] if globs else _values(text, parsed)
        if not multirun:
            choices = f", or choose one of {listing(values[:20])}" if values else ""
            raise ZooError(f"{text} names several values: add -m to run them all{choices}.")
        if globs:
            continue  # a glob matches existing choices only
        singles = [f"{parsed.get_key_element()}={v}" for v in values]
        # Every value once, each with the first value of all other sweeps.
        sets = [*([*s, singles[0]] for s in sets), *([*sets[0], e] for e in singles[1:])]
    return sets


def _parsed(text: str, config_dir: Path) -> Any:
    """Parse an override with Hydra's grammar.

    Raises:
        ZooError: the grammar does not accept it.
    """
    from hydra.errors import HydraException

    try:
        return override_parser().parse_override(text)
    except HydraException as error:
        raise ZooError(grammar_sentence(text, error, config_dir)) from error
    except Exception as error:  # a bug in the grammar
        raise ZooError(f"the override {text!r} cannot be read; write key=value") from error


def _composed(overrides: list[str], config_dir: Path, more: str | None) -> DictConfig:
    """Compose the configuration of one run.

    Args:
        overrides: the overrides of this run.
        config_dir: the folder of the program's configuration files.
        more: a folder with further configuration files, or None.

    Raises:
        ZooError: the configuration cannot be composed.
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
    except Exception as error:  # Python's own, raised for values that Hydra does not expect
        raise ZooError(
            f"the overrides {' '.join(overrides)!r} cannot be composed: "
            f"{' '.join(str(error).split())}."
        ) from error


def _check_flags(given: argparse.Namespace) -> None:
    """Refuse those of Hydra's flags that do not work with this program's configuration."""
    if given.config_name not in (None, "config") or given.config_path is not None:
        raise ZooError(
            "--config-name and --config-path choose another configuration, but this program has "
            "only one: add a folder of choices with --config-dir."
        )
    if given.config_dir and not Path(given.config_dir).is_dir():
        raise ZooError(f"--config-dir={given.config_dir} is not a folder.")
    if given.experimental_rerun is not None:
        raise ZooError("--experimental-rerun is not supported: resume a run with resume=… .")


def _check_choice(text: str, parsed: Any) -> None:
    """Refuse a key that no option could have, and a value that is not the name of a choice."""
    key = key_of(text).split("@")[0]
    if not re.fullmatch(r"[^\W\d][\w-]*([./][^\W\d][\w-]*)*", key):
        raise ZooError(f"{text!r} does not begin with the name of an option: write key=value")
    if key not in (*GROUPS.values(), *OPTIONAL, "model", "trainer") or text.startswith("~"):
        return
    from hydra.core.override_parser.types import QuotedString

    value = parsed.value()
    names = value if isinstance(value, list) else [value]
    if value is not None and not all(type(n) in (str, QuotedString) and str(n) for n in names):
        raise ZooError(f"{text}: {key} is chosen by name ({program()} --help shows the choices).")


def _values(text: str, parsed: Any) -> list[str]:
    """Return the values of a sweep as strings.

    Raises:
        ZooError: there are none, or more than `MOST_RUNS`.
    """
    from hydra.core.override_parser.types import RangeSweep

    value = parsed.value()
    if isinstance(value, RangeSweep):
        step, start, stop = (float(v or 0) for v in (value.step, value.start, value.stop))
        steps = abs((stop - start) / step) if step else math.inf
        if not steps <= MOST_RUNS:
            raise ZooError(f"{text} names more than {MOST_RUNS:,} values.")
    try:
        values = [str(v) for v in itertools.islice(parsed.sweep_string_iterator(), MOST_RUNS)]
    except Exception as error:
        raise ZooError(f"{text} names no values: {' '.join(str(error).split())}.") from error
    if not values:
        raise ZooError(f"{text} names no value at all.")
    return values


def _check_used(task: str, overrides: list[str]) -> None:
    """Refuse an override of a section that the task does not use."""
    part = REGISTRY.get("task", task)
    task_class = part.load()
    used = {*task_class.uses, *(p.name for p in part.parameters)}
    for override in overrides:
        key = key_of(override).split("@")[0]
        first = re.split(r"[./]", key)[0].lstrip("+")
        first = KIND_SECTIONS.get(first, first)
        if first not in SECTIONS or first in used:
            continue
        if override in ("~experiment", "~hparams_search"):  # chooses nothing
            continue
        if first == "experiment" and not any(key_of(o) == "task" for o in overrides):
            continue  # the experiment itself chooses the task
        instead = task_class.instead.get(first, "")
        raise ZooError(
            f"{override}: task={task} does not use {first}{instead and f' ({instead})'}, so leave "
            f"it out. Options of task={task}: {listing(p.name for p in part.parameters)}."
        )


def _check_read(config: DictConfig, task: str, overrides: list[str]) -> None:
    """Refuse an override that adds an option which nothing reads, such as `+sed=3`."""
    options = [p.name for p in REGISTRY.get("task", task).parameters]
    known = {*SECTIONS, *options, "task", "task_name", "debug", "hydra"}
    for override in overrides:
        name = re.split(r"[./@=]", override.lstrip("+"))[0]
        if not override.startswith("+") or name in known or name not in config:
            continue
        if not re.search(rf"\$\{{{re.escape(name)}\b", OmegaConf.to_yaml(config)):
            raise ZooError(
                f"{override}: nothing reads an option {name!r}.{suggest(name, sorted(known))} "
                f"Options of task={task}: {listing(options)}."
            )


def _check_null(overrides: list[str]) -> None:
    """Refuse null as the choice of a group, where `normalise` has not replaced it."""
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+")
        if value == "null" and key in (*OPTIONAL, *GROUPS.values(), "model", "trainer"):
            reason = "not possible in a sweep" if key in OPTIONAL else "not possible: choose one"
            raise ZooError(f"{key}=null is {reason} ({program()} --help shows the choices).")


def _check_folder(config: Any, task: str, sweep: bool) -> None:
    """Refuse a run's folder that cannot be written, or in which a training would be replaced."""
    from zoo.cli.resume import check_no_sweep, check_no_training

    key = "hydra.sweep.dir" if sweep else "hydra.run.dir"
    try:
        path = OmegaConf.select(config, key)
    except OmegaConfBaseException as error:
        raise ZooError(f"{key}: {' '.join(str(error).split())}") from error
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise ZooError(f"{key}={'' if path is None else path} names no folder.")
    folder = Path(path).expanduser()
    nearest = next(p for p in [folder, *folder.parents] if os.path.lexists(p))
    writes = sweep or REGISTRY.get("task", task).load().writes_files
    if writes and (not nearest.is_dir() or not os.access(nearest, os.W_OK)):
        reason = "not a folder" if nearest.exists() else "a broken link"
        raise ZooError(
            f"the run's folder {folder} cannot be written, because {nearest} is "
            f"{'read-only' if nearest.is_dir() else reason}; choose another one with {key}=…"
        )
    if task != "train":
        return
    if not sweep:
        resume = config.get("resume") or config.get("ckpt")
        check_no_training(folder, resume)
        for node in (config.get("callbacks") or {}).values():
            if node is not None and node.get("folder"):  # writes outside the run's folder
                check_no_training(Path(str(node.folder)), resume)
        return
    with contextlib.suppress(OmegaConfBaseException):  # the folder's name depends on the job
        if name := OmegaConf.select(config, "hydra.sweep.subdir"):
            check_no_training(folder / str(name), None)
            return
    check_no_sweep(folder)
