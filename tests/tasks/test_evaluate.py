"""`task=evaluate` on checkpoints, and the same as a callback of a training."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import make_checkpoint
from helpers_data import random_images, save
from helpers_train import train
from torch import Tensor

import zoo
from zoo.core.errors import ZooError
from zoo.inference.load import load
from zoo.metrics.comparison import Reference
from zoo.metrics.evaluate import _draw_labels
from zoo.metrics.protocol import Result, tables
from zoo.metrics.results import find_results
from zoo.registry import REGISTRY
from zoo.tasks.evaluate import Evaluate


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path_factory.getbasetemp() / "zoo-cache"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    make_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    return tmp_path / "run"


def test_figures_are_written_with_their_protocol(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    chosen = ["fid", "memorization", "conditional_accuracy"]
    summary = Evaluate(ckpt=str(run), metrics=chosen, n=300)(out)
    result = Result.from_json((out / "metrics.json").read_text())
    assert set(result.figures) == {"fid", "nearest_ratio", "copies", "conditional_accuracy"}
    assert summary["fid"] == pytest.approx(result.figures["fid"], rel=1e-5)
    protocol = result.protocol
    assert protocol.reference == "mnist_subset/train 1x16x16"
    assert protocol.weights == "ema"
    assert protocol.batch_norm == "running"
    assert protocol.generated_count == 300
    assert protocol.features == "mnist"
    text = (out / "metrics.txt").read_text()
    assert "Protocol: 300 generated images (ema weights in fp32," in text
    assert text in capsys.readouterr().out
    assert (out / "nearest.png").is_file()
    kept = list((run / "evaluations").glob("*.json"))
    assert [Result.from_json(file.read_text()) for file in kept] == [result]


def test_figures_are_shown_where_they_cannot_be_written(run, tmp_path, capsys, monkeypatch):
    def full(file: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr("zoo.tasks.evaluate.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        Evaluate(ckpt=str(run), metrics=["memorization"], n=50)(tmp_path / "out")
    assert "nearest_ratio" in capsys.readouterr().out


def test_every_metric_says_before_what_its_figures_are_called(run: Path) -> None:
    own = [part.name for part in REGISTRY.parts("metric") if part.source == "zoo"]
    metrics = {name: zoo.create("metric", name) for name in own}
    assert all(metric.figures for metric in metrics.values())
    chosen = ["fid", "kid", "prdc", "modes", "inception_score", "memorization", "vendi", "auth_pct"]
    for name in chosen:
        (result,) = Evaluate(ckpt=str(run), metrics=[name], n=100).results()
        assert tuple(result.figures) == metrics[name].figures


def test_raw_weights_and_standing_statistics_are_another_protocol(
    run: Path, tmp_path: Path
) -> None:
    given = {"ckpt": str(run), "metrics": ["fid"], "n": 100}
    results = []
    for name, options in (("a", {}), ("b", {"weights": "raw"}), ("c", {"standing_statistics": 4})):
        Evaluate(**given, **options)(tmp_path / name)  # type: ignore[arg-type]
        results.append(Result.from_json((tmp_path / name / "metrics.json").read_text()))
    assert results[1].protocol.weights == "raw"
    assert results[2].protocol.batch_norm.startswith("standing (4 passes")
    assert len({r.figures["fid"] for r in results}) == 3
    assert tables(results).count("Protocol:") == 3
    assert tables([results[0], results[0]]).count("Protocol:") == 1


def test_a_narrower_evaluation_adds_to_the_one_before(run: Path, tmp_path: Path) -> None:
    for name, metrics in (("a", ["fid", "memorization"]), ("b", ["fid", "kid"])):
        Evaluate(ckpt=str(run), metrics=metrics, n=100)(tmp_path / name)
    (kept,) = (run / "evaluations").glob("*.json")
    result = Result.from_json(kept.read_text())
    assert list(result.figures) == ["fid", "nearest_ratio", "copies", "kid", "kid_std"]
    assert len(result.pairs) == 32
    kept.write_text("damaged")
    Evaluate(ckpt=str(run), metrics=["fid"], n=100)(tmp_path / "c")
    assert list(Result.from_json(kept.read_text()).figures) == ["fid"]


def test_figures_of_another_model_are_not_taken_for_its_own(run: Path, tmp_path: Path) -> None:
    """Two models of the same images seen in one run's folder, and in a folder of that name."""
    ours = run / "checkpoints" / "last.ckpt"
    theirs = make_checkpoint(run / "checkpoints" / "copied.ckpt", seed=1)
    for name, file, metrics in (("a", ours, ["fid"]), ("b", theirs, ["kid"])):
        assert find_results(load(file)) == []
        Evaluate(ckpt=str(file), metrics=metrics, n=50)(tmp_path / name)
    assert [list(r.figures) for r in find_results(load(ours))] == [["fid"]]
    assert [list(r.figures) for r in find_results(load(theirs))] == [["kid", "kid_std"]]
    collected = tmp_path / "home" / "checkpoints" / "a.ckpt"
    collected.parent.mkdir(parents=True)
    shutil.copy(ours, collected)
    Evaluate(ckpt=str(collected), metrics=["fid"], n=50)(tmp_path / "c")
    assert not (tmp_path / "home" / "evaluations").exists()


def test_several_checkpoints_make_one_table(run: Path, tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "other" / "checkpoints" / "last.ckpt", seed=1)
    out = tmp_path / "out"
    both = [str(run), str(tmp_path / "other")]
    Evaluate(ckpt=both, metrics=["fid", "inception_score"], n=100)(out)
    text = (out / "metrics.txt").read_text()
    assert text.count("Protocol:") == 1
    rows = [line for line in text.splitlines() if line.startswith("dcgan (")]
    assert [row.split(",")[0] for row in rows] == ["dcgan (run", "dcgan (other"]
    assert (out / "metrics_1.json").is_file()


def test_figures_do_not_depend_on_batches(run: Path, tmp_path: Path) -> None:
    values = []
    for size in (200, 64):
        out = tmp_path / str(size)
        Evaluate(ckpt=str(run), metrics=["fid"], n=200, batch_size=size)(out)
        values.append(json.loads((out / "metrics.json").read_text())["figures"]["fid"])
    assert values[0] == pytest.approx(values[1], rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ckpt": None}, "needs ckpt"),
        ({"metrics": ["fdi"]}, "Did you mean 'fid'"),
        ({"features": "incepton"}, "Did you mean 'inception'"),
        ({"features": "mnist", "features_weights": "x.pth"}, "no option 'weights'"),
        (
            {"dataset": "mnits"},
            "dataset=mnits is neither a folder or file of images nor a data set",
        ),
        ({"dataset": "cifar100"}, "CIFAR|cifar100"),
        ({"n": 1}, "n=1"),
        ({"truncation": -2.0}, "truncation"),
        ({"ckpt": "nowhere.ckpt"}, "no checkpoint"),
    ],
)
def test_bad_requests_are_told(
    options: dict[str, object], message: str, run: Path, tmp_path: Path
) -> None:
    given = {"ckpt": str(run), "n": 20, "data_dir": str(tmp_path / "data"), **options}
    with pytest.raises(ZooError, match=message):
        Evaluate(**given)(tmp_path / "out")  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [2, 5])
def test_of_few_images_what_can_be_computed_is(n: int, run: Path, tmp_path: Path) -> None:
    Evaluate(ckpt=str(run), metrics=["fid", "prdc"], n=n)(tmp_path)
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert list(result["figures"]) == ["fid"]
    (left_out,) = [note for note in result["notes"] if "left out" in note]
    assert left_out.startswith("prdc is left out: neighbours up to the 5th need more than 5 images")
    with pytest.raises(ZooError, match="prdc is left out"):
        Evaluate(ckpt=str(run), metrics=["prdc"], n=n)(tmp_path)


def test_other_class_counts_are_refused(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "seven.ckpt", num_classes=7)
    with pytest.raises(ZooError, match=r"has 7 classes, but mnist_subset/train.* has 10"):
        Evaluate(ckpt=str(tmp_path / "seven.ckpt"), n=20)(tmp_path / "out")


def test_against_pictures_without_labels_all_classes_are_made_evenly(
    run: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    for i, picture in enumerate(random_images(6, 16, 16).numpy()):
        save(folder / f"{i}.png", picture)
    task = Evaluate(ckpt=str(run), dataset=str(folder), features="mnist", metrics=["fid"], n=30)
    (result,) = task.results()
    assert result.protocol.labels == "evenly over its classes"
    assert result.figures["fid"] > 0
    labels = _draw_labels(Reference("x", "train", random_images(6, 1, 16, 16)), 30, 0, 10)
    assert labels.bincount().tolist() == [3] * 10
    with pytest.raises(ZooError, match="conditional generator and labelled reference images"):
        Evaluate(
            ckpt=str(run), dataset=str(folder), features="mnist", metrics=["per_class_fid"], n=30
        ).results()


def test_exported_files_can_be_evaluated(run: Path, tmp_path: Path) -> None:
    from zoo.inference.export import export

    options = {"metrics": ["fid"], "n": 100}
    Evaluate(ckpt=str(run), **options)(tmp_path / "a")  # type: ignore[arg-type]
    file = tmp_path / "exported.safetensors"
    export(load(run), file, "safetensors")
    Evaluate(ckpt=str(file), **options)(tmp_path / "b")  # type: ignore[arg-type]
    first, second = (
        Result.from_json((tmp_path / name / "metrics.json").read_text()) for name in "ab"
    )
    assert first.figures == pytest.approx(second.figures, rel=1e-5)


# During training ---------------------------------------------------------------------------------

CALLBACK = [
    "callbacks=evaluate",
    "callbacks.evaluate.n=60",
    "callbacks.samples.rows=2",
    "callbacks.progress=null",
]


def weights(file: Path) -> dict[str, Tensor]:
    return torch.load(file, weights_only=True)["state_dict"]


def test_callback_logs_and_keeps_the_best(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(run, *CALLBACK, "trainer.max_epochs=3", "model.lr_g=2e-3", "model.lr_d=2e-3")
    files = sorted((run / "evaluations").glob("images_*.json"))
    results = [Result.from_json(file.read_text()) for file in files]
    assert [file.stem for file in files] == [f"images_{160 * k:09d}" for k in (1, 2, 3)]
    fids = [r.figures["fid"] for r in results]
    assert len(set(fids)) == 3
    table = next(run.glob("**/metrics.csv")).read_text().splitlines()
    column = table[0].split(",").index("fid")
    logged = [row.split(",")[column] for row in table[1:]]
    assert [float(v) for v in logged if v] == pytest.approx(fids, rel=1e-4)
    best = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["zoo"]
    assert best["images_seen"] == 160 * (1 + fids.index(min(fids)))

    # the task says the same of the last checkpoint
    Evaluate(ckpt=str(run), metrics=["fid"], n=60)(tmp_path / "out")
    again = Result.from_json((tmp_path / "out" / "metrics.json").read_text())
    assert again.figures["fid"] == pytest.approx(fids[-1], rel=1e-3)
    assert again.protocol == results[-1].protocol
    assert again.generator_hash == results[-1].generator_hash != results[0].generator_hash


def test_callback_leaves_the_training_as_it_is(tmp_path: Path) -> None:
    train(tmp_path / "plain", "trainer.max_epochs=2")
    train(
        tmp_path / "scored",
        *CALLBACK,
        "trainer.max_epochs=2",
        "callbacks.evaluate.every_n_epochs=null",
        "callbacks.evaluate.every_n_images=100",
    )
    names = [p.stem for p in sorted((tmp_path / "scored" / "evaluations").iterdir())]
    assert names == [f"images_{k:09d}" for k in (112, 208, 304, 320)]
    plain, scored = (
        weights(tmp_path / d / "checkpoints" / "last.ckpt") for d in ("plain", "scored")
    )
    assert all(torch.equal(plain[k], scored[k]) for k in plain)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("callbacks.evaluate.metrics=[fidd]", "Did you mean 'fid'"),
        ("callbacks.evaluate.n=1", "callbacks.evaluate.n=1 must be 2 or more"),
        ("callbacks.evaluate.split=nothing", "not one of train, val, test"),
        ("callbacks.evaluate.features=mnits", "Did you mean 'mnist'"),
        ("callbacks.evaluate.metrics=[fid,cas]", "the generator takes no labels"),
        ("callbacks.checkpoints.monitor=kid", "monitor=kid is not measured"),
    ],
)
def test_wrong_settings_of_the_callback_are_told(
    override: str, message: str, tmp_path: Path
) -> None:
    given = ["trainer.max_epochs=1", "model.conditional=false"]
    with pytest.raises(ZooError, match=message):
        train(tmp_path, *CALLBACK, *given, override)
    if "metrics" in override:  # told before anything is trained
        assert not list(tmp_path.glob("**/*.ckpt"))


def test_memorization_is_of_training_images_whatever_the_split(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "free.ckpt", num_classes=0)
    results, pictures = [], []
    for split in ("train", "test"):
        out = tmp_path / split
        Evaluate(ckpt=str(tmp_path / "free.ckpt"), metrics=["memorization"], n=100, split=split)(
            out
        )
        results.append(Result.from_json((out / "metrics.json").read_text()))
        pictures.append((out / "nearest.png").read_bytes())
    assert results[0].figures == results[1].figures
    assert results[0].pairs == results[1].pairs
    assert pictures[0] == pictures[1]
    assert "the 10,000 images of mnist_subset/train" in results[1].notes[0]


def test_cas_says_what_it_is_tested_on(run: Path, tmp_path: Path) -> None:
    Evaluate(ckpt=str(run), metrics=["cas"], n=100)(tmp_path)
    text = (tmp_path / "metrics.txt").read_text()
    assert "CAS is the accuracy on 2,000 of 2,000 images of mnist_subset/test." in text


def test_unconditional_checkpoints_are_scored_without_labels(tmp_path: Path) -> None:
    make_checkpoint(tmp_path / "free.ckpt", num_classes=0)
    Evaluate(ckpt=str(tmp_path / "free.ckpt"), metrics=["fid"], n=50)(tmp_path / "out")
    result = Result.from_json((tmp_path / "out" / "metrics.json").read_text())
    assert result.protocol.labels == "none"
    assert zoo.load(tmp_path / "free.ckpt").num_classes == 0
