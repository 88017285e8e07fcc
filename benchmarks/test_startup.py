"""Start-up time and peak memory, each measured in separate processes."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import startup
from benchmarks.measure import peak_memory


def test_startup(benchmark: Any, pytestconfig: pytest.Config) -> None:
    rounds = 1 if pytestconfig.getoption("benchmark_quick") else 5
    benchmark.pedantic(startup.first_step, rounds=rounds)
    benchmark.extra_info["imports alone, s"] = startup.imports()
    benchmark.extra_info["--help, CPU s"] = min(startup.help_cpu() for _ in range(rounds))


@pytest.mark.parametrize("card", ["mlp_28", "dcgan_32"])
def test_memory(benchmark: Any, card: str) -> None:
    ours = benchmark.pedantic(lambda: peak_memory(card, "zoo", 64), rounds=1)
    plain = peak_memory(card, "plain", 64)
    ratios = {"baseline's peak memory over ours": plain / ours}
    benchmark.extra_info.update(peak_bytes=ours, baseline_peak_bytes=plain, ratios=ratios)
