"""The end of a sweep, and the search of `task=tune`, whose runs are compared the same way."""

from __future__ import annotations

import json
import shlex
import signal
from types import SimpleNamespace

import numpy as np
import pytest
from helpers_train import TINY, configure, start, wait_until
from matplotlib.figure import Figure
from PIL import Image

import zoo
from zoo.cli.jobs import run_task
from zoo.cli.overrides import check, collect_space
from zoo.cli.store import store_parts
from zoo.contracts.task import Run
from zoo.core.errors import ZooError
from zoo.explore.compare import (
    as_table,
    changed,
    compare,
    draw,
    draw_curves,
    read_metrics,
    read_runs,
    scores,
)
from zoo.metrics.protocol import Protocol, Result
from zoo.registry.places import CONFIGS


def write_run(folder, overrides, summary, samples=True):
    (folder / ".hydra").mkdir(parents=True)
    lines = "".join(f"- {json.dumps(o)}\n" for o in overrides)
    (folder / ".hydra" / "overrides.yaml").write_text(lines)
    (folder / "summary.json").write_text(json.dumps(summary))
    if samples:
        (folder / "samples").mkdir()
        noise = np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8)
        Image.fromarray(noise).save(folder / "samples" / "images_000000001.png")
        for version, steps in ((0, (1, 2)), (1, (3,))):  # a run and its continuation
            log = folder / "csv" / f"version_{version}"
            log.mkdir(parents=True)
            rows = "".join(f"0,{s},{s / 2},\n" for s in steps)
            (log / "metrics.csv").write_text("epoch,step,loss_d,fid\n" + rows)


@pytest.fixture
def sweep(tmp_path):
    for i, (width, loss) in enumerate([(8, "bce"), (8, "hinge"), (16, "bce"), (16, "hinge")]):
        overrides = [f"model.generator.width={width}", f"model/loss={loss}", "seed=1"]
        summary = {"loss_d": 1.0 + i, "trained": "x"} if i < 3 else {"error": "loss became NaN."}
        write_run(tmp_path / str(i), overrides, summary, samples=i < 3)
    return tmp_path


def test_the_table_shows_what_differs_and_what_came_of_it(sweep):
    runs = read_runs(sweep)
    assert changed(runs)[1] == {"width": "8", "loss": "hinge"}
    assert as_table(runs).splitlines() == [
        "| run | width | loss  | loss_d | outcome |",
        "| --- | ----- | ----- | ------ | ------- |",
        "| 0   | 8     | bce   | 1      | ok      |",
        "| 1   | 8     | hinge | 2      | ok      |",
        "| 2   | 16    | bce   | 3      | ok      |",
        "| 3   | 16    | hinge |        | failed  |",
        "",
        "run 3 failed: loss became NaN.",
    ]


def test_figures_are_averaged_over_seeds_and_never_mix_protocols(tmp_path):
    protocol = dict.fromkeys(Protocol.__dataclass_fields__, "same") | {"seed": 0, "settings": {}}
    for i, (loss, seed, n, fid) in enumerate(
        [("bce", 0, 10, 1.0), ("bce", 1, 10, 2.0), ("hinge", 0, 10, 5.0), ("hinge", 1, 20, 7.0)]
    ):
        folder = tmp_path / str(i)
        write_run(folder, [f"model/loss={loss}", f"seed={seed}"], {"loss_d": 1.0})
        measured = Protocol(
            **protocol | {"reference_count": 9, "generated_count": n, "features": "x"}
        )
        for images, value in ((5, 99.0), (10, fid)):  # the last one counts
            result = Result("m", measured, {"fid": value})
            result.save(folder / "evaluations" / f"images_{images:09d}.json")
    write_run(tmp_path / "4", ["model/loss=wgan", "seed=0"], {"loss_d": 1.0})
    (tmp_path / "4" / "evaluations").mkdir()
    (tmp_path / "4" / "evaluations" / "images_000000010.json").write_text("{")
    with pytest.warns(UserWarning, match=r"left out: .*4/evaluations/images_000000010\.json"):
        tables = scores(read_runs(tmp_path))
    first, second = tables.split("\n\n| ")
    assert first.splitlines()[:4] == [
        "| loss  | fid ↓      | runs |",
        "| ----- | ---------- | ---- |",
        "| bce   | 1.5 ± 0.71 | 2    |",
        "| hinge | 5          | 1    |",
    ]
    assert "Protocol: 10 pictures" in first
    assert second.splitlines()[2] == "| hinge | 7     | 1    |"
    assert "Protocol: 20 pictures" in second


def test_the_picture_has_the_values_of_the_last_sweep_as_columns(sweep, capsys):
    written = compare(sweep)
    assert written == {"table": sweep / "comparison.md", "picture": sweep / "comparison.png"}
    assert capsys.readouterr().out == (sweep / "comparison.md").read_text()
    width, height = Image.open(sweep / "comparison.png").size
    assert width < height  # two columns of two


@pytest.mark.parametrize(("rows", "marker"), [(1, "o"), (2, "None")])
def test_a_curve_of_one_point_is_a_dot(tmp_path, rows, marker):
    log = tmp_path / "csv" / "version_0"
    log.mkdir(parents=True)
    written = "".join(f"{i},0.5\n" for i in range(rows))
    (log / "metrics.csv").write_text("step,loss_d\n" + written)
    axis = Figure().add_subplot()
    draw_curves(axis, tmp_path)
    assert [line.get_marker() for line in axis.lines] == [marker]
    assert all(tick == round(tick) for tick in axis.get_xticks())  # no half steps


def test_equal_short_names_are_told_apart(tmp_path):
    for i in range(2):
        write_run(
            tmp_path / str(i), [f"model.generator.width={i}", f"model.discriminator.width={i}"], {}
        )
    assert list(changed(read_runs(tmp_path))[0]) == [
        "model.generator.width",
        "model.discriminator.width",
    ]


def test_runs_are_in_order_and_curves_go_on_over_continuations(tmp_path):
    for i in (0, 2, 10):
        write_run(tmp_path / str(i), [f"seed={i}"], {"loss_d": i})
    runs = read_runs(tmp_path)
    assert [r["folder"].name for r in runs] == ["0", "2", "10"]
    assert read_metrics(runs[0]["folder"]) == {"loss_d": ([1.0, 2.0, 3.0], [0.5, 1.0, 1.5])}
    *_, log = sorted((runs[0]["folder"]).glob("csv/*/metrics.csv"))
    log.write_text("epoch,loss_d,step\n0,1.5,3\n0,2.")  # a run that was killed as it wrote
    assert read_metrics(runs[0]["folder"]) == {"loss_d": ([1.0, 2.0, 3.0], [0.5, 1.0, 1.5])}


def test_nothing_to_compare_is_no_error(tmp_path):
    assert compare(tmp_path) == {}
    write_run(tmp_path / "0", [], {"error": "no data."}, samples=False)
    assert draw(tmp_path, read_runs(tmp_path)) is None
    assert list(compare(tmp_path)) == ["table"]


@pytest.fixture
def tune(tmp_path):
    store_parts()  # as run.py does before any task

    def run(*space: str, **options):
        task = zoo.create("task", "tune", space=list(space), **options)
        given = (*TINY, "trainer.max_steps=4", "task=tune", "trials=9")
        return task(Run(tmp_path, overrides=given))

    return run


def test_tune_finds_the_best_run_and_goes_on(tune, tmp_path):
    space = ("model/loss=bce,wgan", "model.lr_g=tag(log,interval(1e-4,1e-2))")
    summary = tune(*space, trials=2, metric="loss_d")
    runs = read_runs(tmp_path)
    values = [r["summary"]["loss_d"] for r in runs]
    assert summary["best"] == f"run {np.argmin(values)} with loss_d {min(values):.6g}"
    assert "trainer.max_steps=4" in summary["run it"]
    assert "trials" not in summary["run it"]
    assert (tmp_path / "best.txt").read_text() == summary["run it"] + "\n"
    for setting in changed(runs):
        assert 1e-4 <= float(setting["lr_g"]) <= 1e-2
    summary = tune(*space, trials=3, metric="loss_d")
    assert len(read_runs(tmp_path)) == 3
    assert summary["table"] == tmp_path / "comparison.md"


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_tune_refuses_a_seed_that_no_training_takes(seed):
    with pytest.raises(ZooError, match=rf"seed={seed}"):
        zoo.create("task", "tune", space=["model/loss=bce,hinge"], seed=seed)


def test_tune_survives_failed_runs(tune, tmp_path, capsys):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "checkpoints").touch()  # where the first run needs a folder
    summary = tune("model/loss=bce,hinge", trials=2, metric="loss_g", direction="maximize")
    assert summary["best"].startswith("run 1 with loss_g")
    assert ["error" in r["summary"] for r in read_runs(tmp_path)] == [True, False]
    assert "run 0 failed: " in capsys.readouterr().out


def test_a_search_by_hparams_search_prints_commands_that_train(tmp_path):
    folder = tmp_path / "my (search)"
    given = [*TINY, "trainer.max_steps=2", "hparams_search=optuna", "trials=1", "metric=loss_d"]
    config, noted = configure(*given, "space=['model.lr_g=interval(1e-4,1e-2)']")
    assert config.task.name == "tune"
    summary = run_task(config, folder, noted)
    command = shlex.split((folder / "best.txt").read_text())
    check(command[2:], CONFIGS)  # as run.py does: the command is not refused
    best, _ = configure(*command[2:])
    again, _ = configure(f"resume={folder / '0'}", "trainer.max_steps=4")
    assert best.task.name == again.task.name == "train"
    assert collect_space([*command, "-m", "seed=1,2"])[-1] == "seed=1,2"  # no search any more
    assert best.model.lr_g == again.model.lr_g != 2e-4
    sample, _ = configure(*shlex.split(summary["sample"])[2:])
    assert sample.ckpt == str(folder / "0")


def test_a_search_goes_on_only_with_what_it_was_for(tune):
    loss = "model/loss=bce,hinge"
    tune(loss, trials=1, metric="loss_d")
    for space, options, words in (
        (loss, {"metric": "loss_g"}, "has metric=loss_d, not loss_g: "),
        (loss, {"direction": "maximize"}, "has direction=minimize, not maximize: "),
        (loss, {"samples": 100}, "has samples=2000, not 100: "),
        (f"{loss},lsgan", {}, rf"has space={loss}, not {loss},lsgan: "),
    ):
        with pytest.raises(ZooError, match=words):
            tune(space, **{"trials": 2, "metric": "loss_d"} | options)


def test_a_search_that_was_killed_goes_on_with_new_values(tune, tmp_path):
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    space = "model.lr_g=interval(1e-4,1e-2)"
    tune(space, trials=1, metric="loss_d")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    optuna.load_study(study_name="tune", storage=storage).ask()  # and nobody tells how it went
    for trials in (2, 3):
        tune(space, trials=trials, metric="loss_d")
        runs = read_runs(tmp_path)
        assert len(runs) == trials, "the one that was killed counts"
    assert len({str(r["overrides"]) for r in runs}) == 3


def test_a_search_that_is_stopped_tells_how_it_goes_on(tmp_path):
    process = start(
        tmp_path / "search", "task=tune", "model.lr_g=1e-4,2e-4", "metric=loss_d", "trials=2",
        "trainer.max_epochs=100000",
    )  # fmt: skip
    wait_until(lambda: list(tmp_path.glob("search/0/csv/*/metrics.csv")) != [], process)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "resume=search/0 (continue the search with the same command and hydra.run.dir=" in told


@pytest.mark.parametrize(
    ("space", "options", "words"),
    [
        ([], {}, "needs an override with several values"),
        (["seed=1"], {}, "does not name several values"),
        (["seed=[1"], {}, "cannot be read"),
        (["seed=1,2"], {"trials": 0}, "trials=0 must be 1 or more"),
        (["model/los=bce,hinge"], {"trials": 1}, "none of the 1 runs was completed"),
        (
            ["seed=1,2"],
            {"trials": 9, "metric": "los_d"},
            "not a metric of the training or of task=evalu",
        ),
    ],
)
def test_tune_tells_what_is_wrong(space, options, words, tune, tmp_path):
    with pytest.raises(ZooError) as caught:
        tune(*space, **({"metric": "loss_d"} | options))
    assert words in str(caught.value)
    assert len(list(tmp_path.glob("[0-9]*/checkpoints"))) <= 1  # and not the other eight


@pytest.mark.parametrize(
    ("options", "direction"),
    [
        ({"metric": "fid"}, "minimize"),
        ({"metric": "loss_g"}, "minimize"),
        ({"metric": "conditional_accuracy"}, "maximize"),
        ({"metric": "vendi"}, "maximize"),
        ({"metric": "vendi", "direction": "minimize"}, "minimize"),
    ],
)
def test_a_search_goes_where_the_figure_gets_better(options, direction):
    """An accuracy was made as small as possible."""
    task = zoo.create("task", "tune", space=["a=1,2"], **options)
    assert task._direction() == direction


def test_where_a_trial_of_another_program_lies_is_told_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = zoo.create("task", "tune", space=["a=1,2"])
    trial = SimpleNamespace(number=3, user_attrs={"folder": str(tmp_path / "other" / "3")})
    assert task._folder(trial, tmp_path / "mine") == "other/3"
