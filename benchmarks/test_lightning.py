"""The overhead that `run.py` adds to the step."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.cards import CARDS


@pytest.mark.parametrize("card", list(CARDS))
def test_lightning(benchmark: Any, card: str, pytestconfig: pytest.Config) -> None:
    from benchmarks.lightning import measure  # here, since it takes seconds to import

    if pytestconfig.getoption("benchmark_quick") and CARDS[card].heavy:
        pytest.skip("quick mode")
    heavy = CARDS[card].heavy
    rounds = 3 if pytestconfig.getoption("benchmark_quick") or heavy else 15
    run = benchmark.pedantic(lambda: measure(CARDS[card], 64, rounds), rounds=1)
    timings = run.timings
    benchmark.extra_info.update(
        ms=1e3 * timings["run.py"].median,
        baseline_ms=1e3 * timings["plain"].median,
        bare_ms=1e3 * timings["zoo"].median,
        epoch_end_ms=1e3 * run.epoch_end,
        speedup=timings["run.py"].speedup(timings["plain"]),
        images_per_second=64 / timings["run.py"].median,
    )
