"""`task=tune`: search settings with Optuna.

Hydra's own Optuna sweeper is not used, because its last release (1.3.0) requires Optuna below 3,
which has not been maintained since 2022.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zoo.cli.failures import as_stopped
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
"""Keys of the overrides that are not passed on to the trials."""

TRIES = 5
"""The number of attempts to open a storage."""
TRY_SECONDS = 0.2
"""The seconds between two attempts."""


class _NoSuchMetricError(ZooError):
    """Raised when neither a training nor `task=evaluate` has the metric to be optimised."""


@task("tune")
class Tune(Task):
    """Search settings with Optuna: every trial is a training in a folder of its own.

    `python run.py task=tune trials=20 model/loss=bce,hinge 'model.lr_g=interval(1e-5,1e-3)'`
    searches the overrides that name several values; the others apply to all trials. With the same
    `hydra.run.dir`, a later command continues the search; only one program at a time may use it.

    Paper: Akiba et al. (2019), arXiv:1907.10902.

    Args:
        space: the overrides to search, written like a sweep: `model/loss=bce,hinge`,
            `model.d_steps=range(1,6)`, `model.lr_g=tag(log,interval(1e-5,1e-3))`.
        trials: the total number of trainings, including those of an earlier search in this folder,
            but not those that were killed.
        metric: the metric to optimise: one in the training's log or summary, or else one of
            `task=evaluate`.
        direction: `minimize` or `maximize` it; null chooses the direction in which it improves.
        samples: the number of generated images if `task=evaluate` measures the metric.
        seed: the seed of every training, and of the search unless `storage` shares it.
        storage: a storage through which several programs, on one or more machines, share the
            search, each with a folder of its own: `sqlite:///study.db`, the address of a database
            server, or a file ending in .log on a shared disk. null keeps it in the run's folder.
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
        """Run the trials in folders below the run's folder.

        Raises:
            ZooError: there is nothing to search, Optuna is missing, the folder has another search,
                or no trial is completed.
        """
        from zoo.core.extras import require

        if not self.space:
            raise ZooError(
                "task=tune needs an override with several values, for example "
                "model/loss=bce,hinge or 'model.lr_g=interval(1e-5,1e-3)'."
            )
        require("tune", "task=tune", "optuna")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with locked(run.folder):
            return self._search(run)

    def _search(self, run: Run) -> dict[str, Any]:
        """Run trials until the study has as many as asked for, and return the summary."""
        import optuna

        study = optuna.create_study(
            storage=_open(self.storage or str(run.folder / "study.log")),
            study_name="tune",
            direction=self._direction(),
            load_if_exists=True,
        )
        self._check_same(study, run.folder)
        if self.storage is None:
            # The sampler's state is not stored, so with the same seed it would repeat its values.
            seed = (self.seed + len(study.trials)) % 2**32
            study.sampler = optuna.samplers.TPESampler(seed=seed)
            killed = _fail_killed(study)
        else:  # running trials count as bad ones, so that other programs try different values
            study.sampler = optuna.samplers.TPESampler(constant_liar=True)
            killed = 0  # a trial without an end may be running in another program
        while len(study.trials) - killed < self.trials:
            trial = study.ask()
            if trial.number - killed >= self.trials:  # another program has started the last one
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
            try:
                value = self._train(trial, run)
            except _NoSuchMetricError:  # other trials would not have it either
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                raise
            except KeyboardInterrupt as error:
                stopped = as_stopped(error)  # which says only how to resume this one training
                again = "continue the search with the same command"
                if self.storage is None:
                    again += f" and {argument('hydra.run.dir', shown(run.folder))}"
                stopped.onward = f"{stopped.onward} ({again})" if stopped.resume else again
                raise stopped from None
            state = optuna.trial.TrialState.FAIL if value is None else None
            study.tell(trial, value, state=state)
        return self._summary(study, run.folder)

    def _direction(self) -> Literal["minimize", "maximize"]:
        """Return the user's direction, or else that in which the metric improves."""
        from zoo.metrics.choice import is_better_higher

        if self.direction is not None:
            return self.direction
        return "maximize" if is_better_higher(self.metric) else "minimize"

    def _check_same(self, study: Study, out: Path) -> None:
        """Refuse to continue a search with another metric or other settings."""
        requested = {
            "metric": self.metric,
            "direction": self._direction(),
            "samples": self.samples,
            "space": sorted(o.input_line for o in self.space.values()),
        }
        direction = study.direction.name.lower()
        stored = study.user_attrs.get("search") or requested | {"direction": direction}
        for name, value in requested.items():
            if stored[name] != value:
                old, new = (
                    " ".join(v) if isinstance(v, list) else v for v in (stored[name], value)
                )
                place, option = shown(out), "hydra.run.dir"
                if self.storage is not None:
                    place, option = f"storage={_without_password(self.storage)}", "storage"
                raise ZooError(
                    f"the search in {place} has {name}={old}, not {new}: continue it with that, "
                    f"or choose another {option}."
                )
        study.set_user_attr("search", requested)

    def _train(self, trial: Trial, run: Run) -> float | None:
        """Train one trial and return its metric, or None if the training failed.

        Raises:
            ZooError: no training of this search could have the metric.
        """
        from omegaconf import OmegaConf

        from zoo.cli.jobs import try_task

        fixed = [o for o in run.overrides if key_of(o) not in OWN]
        chosen = [f"{key}={_suggest(trial, key, o)}" for key, o in self.space.items()]
        folder = run.folder / str(trial.number)
        print(f"\nrun {trial.number} (of {self.trials}): {' '.join(chosen)}")
        (folder / ".hydra").mkdir(parents=True, exist_ok=True)
        OmegaConf.save(OmegaConf.create(chosen), folder / ".hydra" / "overrides.yaml")
        # A file of hparams_search sets task=tune, and its other settings belong to the training.
        training = [*fixed, *chosen, "task=train"]
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
            if isinstance(error, _NoSuchMetricError) and not self._is_declared():
                raise
        write_json(folder / "summary.json", summary)
        if "error" in summary:
            print(f"run {trial.number} failed: {summary['error']}")
            return None
        return summary[self.metric]

    def _measure(self, folder: Path, summary: dict[str, Any], config: DictConfig) -> float:
        """Return a trial's metric from its log or summary, or else from `task=evaluate`.

        Raises:
            ZooError: the metric does not exist, or is not finite.
        """
        from zoo.cli.grammar import quote
        from zoo.cli.jobs import run_task
        from zoo.explore.compare import read_metrics

        values = {k: v[1][-1] for k, v in read_metrics(folder).items()} | summary
        if self.metric not in values:
            evaluation = [
                "task=evaluate",
                f"ckpt={quote(str(folder))}",
                f"data_dir={quote(str(config.data_dir))}",
                f"n={self.samples}",
                *([f"metrics=[{self.metric}]"] if self.metric in list_parts("metric") else []),
            ]
            values |= run_task(_compose(evaluation), folder / "evaluation", evaluation)
        value = values.get(self.metric)
        if not isinstance(value, int | float):
            names = [k for k, v in values.items() if isinstance(v, int | float)]
            raise _NoSuchMetricError(
                f"metric={self.metric} is not a metric of the training or of task=evaluate."
                f"{suggest(self.metric, names)} There are {listing(names)}."
            )
        if not math.isfinite(value):
            raise ZooError(f"{self.metric} is {value}.")
        return float(value)

    def _is_declared(self) -> bool:
        """Whether other trials may have the metric, as a registered metric or a part's penalty."""
        metrics = REGISTRY.having("metric", lambda live: self.metric in (live.figures or ()))
        return bool(metrics) or self.metric in {part.name for part in REGISTRY.parts()}

    def _folder(self, trial: FrozenTrial, out: Path) -> str:
        """Return the folder in which a trial was trained, by this program or another."""
        own = out / str(trial.number)
        return shown(trial.user_attrs.get("folder", own.absolute()))

    def _summary(self, study: Study, out: Path) -> dict[str, Any]:
        """Compare the trials, write the best one's command to `best.txt`, and return the summary.

        Raises:
            ZooError: no trial is completed.
        """
        from zoo.explore.compare import compare

        own = any((out / str(t.number)).is_dir() for t in study.trials)
        comparison = compare(out) if own else {}
        completed = [t for t in study.trials if t.value is not None]
        if not completed:
            raise ZooError(
                f"none of the {len(study.trials)} runs was completed; the reasons are above."
            )
        best = study.best_trial
        command = shlex.join(best.user_attrs["overrides"])
        write_text(out / "best.txt", f"{program()} {command}\n")
        return {
            "best": f"run {best.number} with {self.metric} {best.value:.6g}",
            "run it": f"{program()} {command}",
            "sample": f"{program()} task=sample {argument('ckpt', self._folder(best, out))}",
            **comparison,
        }


def _open(place: str) -> Any:
    """Open the storage of a search.

    Raises:
        ZooError: it cannot be reached, or is not a storage.
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
                f"{driver or 'of its database'}, which is not installed."
            ) from error
        except Exception as error:  # the database's library has many errors of its own
            if tries + 1 < TRIES:  # programs that start at the same time create the same tables
                time.sleep(TRY_SECONDS)
                continue
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            raise ZooError(
                f"storage={_without_password(place)} cannot be opened "
                f"({reason or type(error).__name__}): give an address such as "
                "sqlite:///study.db, or a file ending in .log."
            ) from error
    raise AssertionError


def _without_password(place: str) -> str:
    """Hide the password in a storage's address: `scheme://user:***@host/name`."""
    return re.sub(r"(://[^:/@]*:)[^@]*@", r"\1***@", place)


def _fail_killed(study: Study) -> int:
    """Mark the trials that a killed search left running as failed.

    Returns:
        The number of trials killed so far, in this search and earlier ones.
    """
    from optuna.trial import TrialState

    killed = study.user_attrs.get("killed", 0)
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        killed += 1
    study.set_user_attr("killed", killed)
    return killed


def _parse(text: str) -> Any:
    """Parse an override of the search space.

    Raises:
        ZooError: it cannot be read, or does not name several values.
    """
    from hydra.core.override_parser.types import Glob
    from hydra.errors import HydraException

    try:
        parsed = override_parser().parse_override(text)
    except HydraException as error:
        raise ZooError(f"space: {text!r} cannot be read: {str(error).splitlines()[0]}.") from error
    if not parsed.is_sweep_override() or isinstance(parsed.value(), Glob):
        raise ZooError(
            f"space: {text!r} does not name several values: write key=a,b, key=range(1,6) or "
            "key=interval(0,1)."
        )
    return parsed


def _suggest(trial: Trial, key: str, override: Any) -> Any:
    """Ask Optuna for a value of `key`, as Hydra's grammar writes it."""
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
    """Compose the configuration of a run; within one of Hydra's jobs, use the job's search path."""
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
