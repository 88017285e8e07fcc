"""The table of methods: its experiments are recipes, its rows stay in order."""

from __future__ import annotations

import pytest
import recipes

from benchmarks import methods
from benchmarks import rows as table
from benchmarks.experiments import EXPERIMENTS
from zoo.registry import list_parts


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_way_is_a_recipe_with_its_figures(name):
    experiment = EXPERIMENTS[name]
    assert set(experiment.metrics) <= set(list_parts("metric"))
    assert set(experiment.paper) <= set(experiment.ways)
    assert all(len(told) == len(experiment.figures) for told in experiment.paper.values())
    for way in experiment.ways:
        recipe, *settings = methods.settings_of(experiment, way, 10)
        config = recipes.composed(recipe.removeprefix("experiment="), *settings)
        assert config["trainer"]["max_steps"] == 10


def test_packs_keep_the_number_of_packs():
    for name in ("ring", "grid", "stacked_mnist", "stacked_mnist_unrolled"):
        for way in EXPERIMENTS[name].ways.values():
            packs, batch = (int(setting.split("=")[1]) for setting in way)
            sizes = [int(s[1].split("=")[1]) for s in EXPERIMENTS[name].ways.values()]
            assert batch == packs * min(sizes)


def row(way: str, seed: int, modes: int, updates: int = 2500) -> dict:
    machine = {
        "processor": "P",
        "device": "cpu",
        "threads": 1,
        "torch": "2",
        "python": "3",
        "date": "2026-11-26",
    }
    return {
        "experiment": "ring", "way": way, "seed": seed, "updates": updates, "images": 1000,
        "figures": {"modes": modes, "high_quality": 0.5, "mode_kl": 0.1}, "protocol": "as is",
        "processor_seconds": 3, "machine": machine, "loaded": True,
    }  # fmt: skip


def test_rows_are_replaced_and_shown_beside_the_paper(tmp_path):
    rows: list[dict] = []
    for made in (row("PacGAN2", 0, 8), row("GAN", 1, 5), row("GAN", 0, 3), row("GAN", 0, 7)):
        rows = table.added(rows, made, methods.key)
    rows = table.added(rows, row("GAN", 0, 6, updates=100), methods.key)
    kept = [(r["way"], r["seed"], r["updates"]) for r in rows]
    assert kept == [("GAN", 0, 100), ("GAN", 0, 2500), ("GAN", 1, 2500), ("PacGAN2", 0, 2500)]
    text = methods.report(rows, tmp_path)
    assert "| GAN | 0, 1 | 1,000 | 6 ± 1.4 | 0.5 ± 0 | 0.1 ± 0 | 6.3 | 0.982 | 0.45 |" in text
    assert "| PacGAN2 | 0 | 1,000 | 8 | 0.5 | 0.1 | 7.9 | 0.956 | 0.07 |" in text
    assert text.count("## Eight modes on a ring, ") == 2
    assert "Not run yet: Twenty-five modes on a grid; A tenth of Fashion-MNIST; " in text
    assert "Others computed beside it" in text
