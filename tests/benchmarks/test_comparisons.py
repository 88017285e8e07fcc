"""The tables of learned figures: their rows in order, their recipes there."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import recipes
import torch

from benchmarks import families, first_minute, quality
from benchmarks import rows as table
from benchmarks.callbacks.processor_time import ProcessorTime
from benchmarks.rows import spread

CPU = torch.device("cpu")


def row(family: str, seed: int, fid: float, images: int = 1000) -> dict:
    machine = {
        "processor": "P", "device": "cpu", "threads": 2, "torch": "2", "python": "3",
        "date": "2026-11-26",
    }  # fmt: skip
    return {
        "family": family, "seed": seed, "seconds": 600, "images": images, "loaded": False,
        "figures": {"fid": fid, "conditional_accuracy": 0.5}, "protocol": "as is",
        "machine": machine, "scored_on": "P",
    }  # fmt: skip


def test_equal_time_shows_the_nearest_first_with_its_spread():
    rows: list[dict] = []
    for made in (row("GAT", 0, 5.0), row("DCGAN", 1, 4.0), row("DCGAN", 0, 9.0)):
        rows = table.added(rows, made, families.key)
    rows = table.added(rows, row("DCGAN", 0, 2.0, 3000), families.key)  # measured anew
    assert [(r["family"], r["seed"]) for r in rows] == [("DCGAN", 0), ("DCGAN", 1), ("GAT", 0)]
    text = families.report(rows, CPU, "families.png")
    assert "## 600 processor seconds of" in text
    assert "| DCGAN | 0, 1 | 2,000 | 3 ± 1.4 | 0.5 ± 0 |" in text
    assert text.index("| DCGAN |") < text.index("| GAT | 0 | 1,000 | 5 | 0.5 |")
    assert "Machine: P, 2 threads, torch 2" in text


def test_time_to_quality_is_the_median_of_the_first_checkpoint_as_good():
    curves = {0: [[100, 60.0], [200, 20.0], [1000, 8.0]], 1: [[100, 49.0], [1000, 12.0]]}
    rows = [
        row("GAT", seed, 5.0) | {"curve": curve, "curve_protocol": "of few"}
        for seed, curve in curves.items()
    ]
    assert quality.seconds_to(rows[0], 25) == 600 * 200 / 1000
    assert quality.seconds_to(rows[1], 10) == float("inf")
    never = row("DCGAN", 0, 9.0) | {"curve": [[1000, 90.0]], "curve_protocol": "of few"}
    text = families.report([never, *rows, row("SAGAN", 0, 1.0)], CPU, "x.png")
    lines = text[text.index("## Time to quality") :].splitlines()
    assert [line for line in lines if line.startswith("| ")][:4] == [
        "| family | seeds | FID ≤ 50 | FID ≤ 25 | FID ≤ 10 | FID ≤ 5 | FID ≤ 2 |",
        "| GAT | 0, 1 | 120 | 600 |  |  |  |",
        "| DCGAN | 0 |  |  |  |  |  |",
    ]
    assert "of few" in text
    longer = rows[0] | {"seconds": 1200, "curve": [[1000, 40.0]]}
    assert "| GAT | 0, 1 | 1,200 |" in families.report([longer, *rows], CPU, "x.png")
    assert "Time to quality" not in families.report([row("GAT", 0, 5.0)], CPU, "x.png")


def test_on_a_gpu_the_seconds_are_of_the_clock():
    text = families.report([row("GAT", 0, 5.0)], torch.device("cuda"), "families_cuda.png")
    assert "## 600 seconds on one GPU of" in text
    assert "+trainer.max_time=00:00:10:00" in text
    assert "processor" not in text
    elsewhere = families.report(
        [row("GAT", 0, 5.0) | {"scored_on": "Q"}], torch.device("cuda"), "x.png"
    )
    assert "Scored on another: Q." in elsewhere
    assert "another" not in text


def test_large_figures_have_no_exponent():
    rows = [{"figures": {"modes": modes}} for modes in (318, 1204.0, 900)]
    assert spread(rows, "modes") == "807 ± 450"
    assert spread(rows[1:2], "modes") == "1204"
    assert (
        spread([{"figures": {"fid": 4.1234}}, {"figures": {"fid": 4.1}}], "fid") == "4.11 ± 0.017"
    )


def test_the_first_minute_shows_each_seed_and_their_spread(tmp_path):
    rows: list[dict] = []
    for way, seed, fid in (("after", 1, 0.6), ("before", 0, 20.0), ("after", 0, 0.5)):
        made = row("", seed, fid) | {"way": way, "seconds": None if seed else 90}
        rows = table.added(rows, made, first_minute.key)
    table.write(tmp_path / "results" / "first.json", rows, first_minute.report(rows))
    assert table.read(tmp_path / "results" / "first.json") == rows
    lines = (tmp_path / "results" / "first.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("| ")] == [
        "| way | seed | images | seconds | FID ↓ | conditional accuracy ↑ |",
        "| before | 0 | 1,000 | 90 | 20 | 0.5 |",
        "| after | 0 | 1,000 | 90 | 0.5 | 0.5 |",
        "| after | 1 | 1,000 |  | 0.6 | 0.5 |",
        "| after | mean ± deviation |  |  | 0.55 ± 0.071 | 0.5 ± 0 |",
    ]
    assert table.read(tmp_path / "none.json") == []


def test_every_row_is_a_recipe_with_labels_at_one_size():
    for settings in families.FAMILIES.values():
        name = settings[0].removeprefix("experiment=")
        overrides = [s for s in settings[1:] if s.startswith(("model", "datamodule"))]
        config = recipes.composed(name, *overrides, *families.ENDS)
        assert config["datamodule"]["image_size"] == 32
        assert config["model"]["conditional"] is True
        assert "fashion_mnist" in config["datamodule"]["_target_"]


@pytest.mark.parametrize("name", families.DATA)
def test_other_images_take_the_same_recipes(name):
    data = families.DATA[name]
    for family in families.FAMILIES:
        recipe, *settings = [*families.FAMILIES[family], *data.settings]
        overrides = [s for s in settings if s.startswith(("model", "datamodule"))]
        config = recipes.composed(recipe.removeprefix("experiment="), *overrides)
        assert config["datamodule"]["image_size"] == 32
        assert config["datamodule"]["flip"] is bool(data.settings)
    text = families.report([row("GAT", 0, 5.0)], CPU, "x.png", name)
    assert f"## 600 processor seconds of {data.words}" in text


def test_the_pictures_are_of_recipes():
    for settings in families.PICTURES.values():
        name = settings[0].removeprefix("experiment=")
        assert name in recipes.names()
        recipes.composed(name, *settings[1:], *families.ENDS)


def test_the_longest_run_of_the_lowest_seed_is_drawn():
    rows = [row("GAT", 1, 5.0), row("GAT", 0, 5.0), row("GAT", 0, 5.0) | {"seconds": 60}]
    assert families.longest(rows) == [rows[1]]


def test_a_training_ends_after_so_much_work_and_not_after_so_much_time(monkeypatch):
    trainer, spent = SimpleNamespace(should_stop=False), [3.0]
    monkeypatch.setattr(time, "process_time", lambda: spent[0])
    end = ProcessorTime(seconds=2.0)
    end.on_train_start(trainer, None)
    for seconds, stops in ((4.9, False), (5.0, True)):
        spent[0] = seconds
        end.on_train_batch_end(trainer)
        assert trainer.should_stop is stops
