"""The input pipeline: batches from memory and from folders of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("flip", [False, True], ids=["memory", "memory-flips"])
def test_pipeline(flip: bool, against: Any) -> None:
    from benchmarks import pipeline  # here, since it takes seconds to import

    baseline, ours = pipeline.from_memory(flip).values()
    against(ours, baseline, pipeline.BATCH)


def test_folder(benchmark: Any, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    from benchmarks.pipeline import folder_rates

    quick = pytestconfig.getoption("benchmark_quick")
    rates: dict[str, float] = {}
    benchmark.pedantic(lambda: rates.update(folder_rates(tmp_path, 512 if quick else 8192)))
    baseline, *ours = rates
    benchmark.extra_info.update({f"{name}, images/s": rate for name, rate in rates.items()})
    benchmark.extra_info["ratios"] = {name: rates[name] / rates[baseline] for name in ours}
