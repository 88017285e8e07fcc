"""`task=tune`: settings searched with Optuna.

Hydra's own Optuna sweeper is not used: its last release (1.3.0) asks for Optuna below 3, which has
not been maintained since 2022.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zoo.cli.failures import Stopped
from zoo.cli.grammar import argument, key_of, override_parser
from zoo.cli.lock import locked
from zoo.cli.program import program
from zoo.contracts.task import Run, Task
from zoo.core.atomic import write_json, write_text
from zoo.core.errors import ZooError, at_least, between, listing, shown, suggest
from zoo.registry import REGISTRY, list_parts, task

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

OWN = ("task", "space", "trials", "metric", "direction", "samples", "storage", "hydra.run.dir")
"""Overrides that are not handed on to the trials."""

TRIES = 5
TRY_SECONDS = 0.2
"""Between attempts at opening a storage."""


class _NoSuchFigureError(ZooError):
    """Neither a training nor `task=evaluate` has the figure that is searched for."""


@task("tune")
class Tune(Task):
    """Search settings with Optuna: every trial is a training in a folder of its own.

    `python run.py task=tune trials=20 model/loss=bce,hinge 'model.lr_g=interval(1e-5,1e-3)'`: what
    names several values is searched, everything else holds for all trials. In the same
    `hydra.run.dir` a search goes on where it ended; one program at a time.

    Paper: Akiba et al. (2019), arXiv:1907.10902.

    Args:
        space: what is searched, in Hydra's words for a sweep: `model/loss=bce,hinge`,
            `model.d_steps=range(1,6)`, `model.lr_g=tag(log,interval(1e-5,1e-3))`.
        trials: trainings in all, those of an earlier search in this folder included, and those
            that were killed left out.
        metric: what is optimised: a figure of the training's log or summary, else one of
            `task=evaluate`.
        direction: `minimize` or `maximize` it; null takes the one in which the figure gets better.
        samples: generated images where `task=evaluate` measures.
        seed: of every training, and of the search where `storage` shares it with no other.
        storage: of trials that several programs, on one machine or on many, search together, each
            in a folder of its own: `sqlite:///study.db`, the address of a database server, or a
            file ending in .log on a disk that all of them share.
    """

    uses = (
        "datamodule", "model", "trainer", "logger", "callbacks", "experiment", "data_dir",
        "hparams_search", "tags",
    )  # fmt: skip

    def __init__(
        self,
        space: list[str] = (),  # type: ignore[assignment]
        trials: Annotated[int, at_least(1)] = 10,
        metric: str = "fid",
        direction: Literal["minimize", "maximize"] | None = None,
        samples: Annotated[int, at_least(2)] = 2000,
        seed: Annotated[int, between(0, 4294967295)] = 0,
        storage: str | None = None,
    ) -> None:
        self.space = {o.get_key_element(): o for o in map(_parse, space)}
        self.trials = trials
        self.metric = metric
        self.direction = direction
        self.samples = samples
        self.seed = seed
        self.storage = storage

    def run(self, run: Run) -> dict[str, Any]:
        """Run the trials in folders below the run's.

        Raises:
            ZooError: nothing to search, no Optuna, another search in that folder, or no trial that
                came to an end.
        """
        from zoo.core.extras import require

        if not self.space:
            raise ZooError(
                "task=tune needs something to search, for example model/loss=bce,hinge or "
                "'model.lr_g=interval(1e-5,1e-3)'."
            )
        require("tune", "task=tune", "optuna")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with locked(run.folder):
            return self._search(run)

    def _search(self, run: Run) -> dict[str, Any]:
        import optuna

        study = optuna.create_study(
            storage=_open(self.storage or str(run.folder / "study.log")),
            study_name="tune",
            direction=self._direction(),
            load_if_exists=True,
        )
        self._check_same(study, run.folder)
        if self.storage is None:
            # A sampler starts anew with every program: the same seed would try the same values.
            random = (self.seed + len(study.trials)) % 2**32
            study.sampler = optuna.samplers.TPESampler(seed=random)
            killed = _fail_killed(study)
        else:  # what runs elsewhere counts as bad, so that nobody else tries the same
            study.sampler = optuna.samplers.TPESampler(constant_liar=True)
            killed = 0  # what runs may run in another program
        while len(study.trials) - killed < self.trials:
            trial = study.ask()
            if trial.number - killed >= self.trials:  # another program was faster
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
            try:
                value = self._train(trial, run)
            except _NoSuchFigureError:  # which no other trial would have either
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                raise
            except Stopped as stopped:  # which tells how to go on with this training alone
                again = "the same command"
                if self.storage is None:
                    again += f" with {argument('hydra.run.dir', shown(run.folder))}"
                stopped.args = (f"{stopped} (the search goes on with {again})",)
                raise
            state = optuna.trial.TrialState.FAIL if value is None else None
            study.tell(trial, value, state=state)
        return self._summary(study, run.folder)

    def _direction(self) -> Literal["minimize", "maximize"]:
        """The direction asked for, or that of the metric."""
        from zoo.metrics.choice import is_better_higher

        if self.direction is not None:
            return self.direction
        return "maximize" if is_better_higher(self.metric) else "minimize"

    def _check_same(self, study: Study, out: Path) -> None:
        """Refuse to go on with a search of other values, or for another figure."""
        asked = {
            "metric": self.metric,
            "direction": self._direction(),
            "samples": self.samples,
            "space": sorted(o.input_line for o in self.space.values()),
        }
        direction = study.direction.name.lower()
        held = study.user_attrs.get("search") or asked | {"direction": direction}
        for name, value in asked.items():
            if held[name] != value:
                was, now = (" ".join(v) if isinstance(v, list) else v for v in (held[name], value))
                place, other = shown(out), "hydra.run.dir"
                if self.storage is not None:
                    place, other = f"storage={_without_password(self.storage)}", "storage"
                raise ZooError(
                    f"the search in {place} has {name}={was}, not {now}: go on with that, or "
                    f"search in another {other}."
                )
        study.set_user_attr("search", asked)

    def _train(self, trial: Trial, run: Run) -> float | None:
        """One training; None where it failed.

        Raises:
            ZooError: nothing that could be trained has such a figure.
        """
        from omegaconf import OmegaConf

        from zoo.cli.jobs import try_task

        kept = [o for o in run.overrides if key_of(o) not in OWN]
        chosen = [f"{key}={_suggest(trial, key, o)}" for key, o in self.space.items()]
        folder = run.folder / str(trial.number)
        print(f"\nrun {trial.number} (of {self.trials}): {' '.join(chosen)}")
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(chosen), folder / ".hydra" / "overrides.yaml")
        # task=train: settings of hparams_search belong to the training, but its task is the search.
        training = [*kept, *chosen, "task=train"]
        trial.set_user_attr("overrides", training)
        trial.set_user_attr("folder", str(folder.absolute()))
        summary: dict[str, Any] = {}
        try:
            config = _compose(training)
            OmegaConf.save(config, folder / ".hydra" / "config.yaml")
            summary = try_task(config, folder, training)
            if "error" not in summary:
                summary[self.metric] = self._measure(folder, summary, config)
        except ZooError as error:
            summary["error"] = str(error)
            if isinstance(error, _NoSuchFigureError) and not self._is_declared():
                raise
        write_json(folder / "summary.json", summary)
        if "error" in summary:
            print(f"run {trial.number} failed: {summary['error']}")
            return None
        return summary[self.metric]

    def _measure(self, folder: Path, summary: dict[str, Any], config: DictConfig) -> float:
        from zoo.cli.grammar import quote
        from zoo.cli.jobs import run_task
        from zoo.explore.compare import read_metrics

        figures = {k: v[1][-1] for k, v in read_metrics(folder).items()} | summary
        if self.metric not in figures:
            wanted = [
                "task=evaluate",
                f"ckpt={quote(str(folder))}",
                f"data_dir={quote(str(config.data_dir))}",
                f"n={self.samples}",
                *([f"metrics=[{self.metric}]"] if self.metric in list_parts("metric") else []),
            ]
            figures |= run_task(_compose(wanted), folder / "evaluation", wanted)
        value = figures.get(self.metric)
        if not isinstance(value, int | float):
            names = [k for k, v in figures.items() if isinstance(v, int | float)]
            raise _NoSuchFigureError(
                f"metric={self.metric} is no figure of the training or of task=evaluate."
                f"{suggest(self.metric, names)} There are {listing(names)}."
            )
        if not math.isfinite(value):
            raise ZooError(f"{self.metric} is {value}.")
        return float(value)

    def _is_declared(self) -> bool:
        """Whether other trials may have the figure: a metric's, or the penalty of some part."""
        of = REGISTRY.having("metric", lambda live: self.metric in (live.figures or ()))
        return bool(of) or self.metric in {part.name for part in REGISTRY.parts()}

    def _folder(self, trial: FrozenTrial, out: Path) -> str:
        """Where a trial was trained, by this program or another, as a path from here."""
        own = out / str(trial.number)
        return shown(trial.user_attrs.get("folder", own.absolute()))

    def _summary(self, study: Study, out: Path) -> dict[str, Any]:
        from zoo.explore.compare import compare

        own = any((out / str(t.number)).is_dir() for t in study.trials)
        written = compare(out) if own else {}
        done = [t for t in study.trials if t.value is not None]
        if not done:
            raise ZooError(f"none of the {len(study.trials)} runs came to an end; see above why.")
        best = study.best_trial
        command = shlex.join(best.user_attrs["overrides"])
        write_text(out / "best.txt", f"{program()} {command}\n")
        return {
            "best": f"run {best.number} with {self.metric} {best.value:.6g}",
            "run it": f"{program()} {command}",
            "sample": f"{program()} task=sample {argument('ckpt', self._folder(best, out))}",
            **written,
        }


def _open(place: str) -> Any:
    """The storage of a search.

    Raises:
        ZooError: it cannot be reached, or is something else.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    for tries in range(TRIES):
        try:
            if place.endswith(".log"):
                return JournalStorage(JournalFileBackend(os.path.expanduser(place)))
            return RDBStorage(place)
        except ImportError as error:
            driver = getattr(error.__cause__ or error.__context__, "name", None)
            raise ZooError(
                f"storage={_without_password(place)} needs the Python module "
                f"{driver or 'of its database'}, which is not installed here."
            ) from error
        except Exception as error:  # of a library of databases, with many of its own
            if tries + 1 < TRIES:  # programs that start together make the same tables
                time.sleep(TRY_SECONDS)
                continue
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ZooError(
                f"storage={_without_password(place)} cannot be opened "
                f"({reason or type(error).__name__}): give an address as "
                "sqlite:///study.db, or a file ending in .log."
            ) from error
    raise AssertionError


def _without_password(place: str) -> str:
    """`scheme://user:***@host/name` of a storage's address."""
    return re.sub(r"(://[^:/@]*:)[^@]*@", r"\1***@", place)


def _fail_killed(study: Study) -> int:
    """End the trials that a killed search left running; how many have been killed so far."""
    from optuna.trial import TrialState

    killed = study.user_attrs.get("killed", 0)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        killed += 1
    study.set_user_attr("killed", killed)
    return killed


def _parse(text: str) -> Any:
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    try:
        parsed = override_parser().parse_override(text)
    except HydraException as error:
        raise ZooError(f"space: {text!r} cannot be read: {str(error).splitlines()[0]}.") from error
    if not parsed.is_sweep_override() or isinstance(parsed.value(), Glob):
        raise ZooError(
            f"space: {text!r} names no values to search: write key=a,b, key=range(1,6) or "
            "key=interval(0,1)."
        )
    return parsed


def _suggest(trial: Trial, key: str, override: Any) -> Any:
    """A value for `key` as Hydra's grammar writes it."""
    from hydra.core.override_parser.types import IntervalSweep

    sweep = override.value()
    if not isinstance(sweep, IntervalSweep):
        return trial.suggest_categorical(key, list(override.sweep_string_iterator()))
    log = "log" in sweep.tags
    if isinstance(sweep.start, int) and isinstance(sweep.end, int):
        return trial.suggest_int(key, sweep.start, sweep.end, log=log)
    low, high = float(sweep.start or 0), float(sweep.end or 0)
    return f"{trial.suggest_float(key, low, high, log=log):.4g}"


def _compose(overrides: list[str]) -> DictConfig:
    """The configuration of a run; inside of a job of Hydra's, with its search path."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException

    from zoo.cli.sentences import composition_sentence
    from zoo.cli.store import CONFIGS

    try:
        if GlobalHydra.instance().is_initialized() and HydraConfig.initialized():
            own = HydraConfig.get().overrides.hydra
            search = [o for o in own if key_of(o) == "hydra.searchpath"]
            return compose("config", overrides=[*overrides, *search])
        with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
            return compose("config", overrides=overrides)
    except HydraException as error:
        raise ZooError(composition_sentence(error, overrides, CONFIGS)) from error
