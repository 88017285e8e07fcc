"""Interleave each measurement with its baseline, and show and compare the ratios."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from benchmarks.cards import CARDS
from benchmarks.measure import Timing, machine

TOLERANCE = 0.10
"""A ratio that is lower than in a saved run by more than this share is a regression."""


@pytest.fixture(scope="session")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def against(benchmark: Any, device: torch.device, pytestconfig: pytest.Config) -> Any:
    """Return a function that times another one and runs its baseline before every round.

    pytest-benchmark times the function. The median time of the baseline and the speed-up over it
    are added to what pytest-benchmark prints and saves.
    """
    budget = 4.0 if pytestconfig.getoption("benchmark_quick") else 30.0

    def finish() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    def clocked(function: Callable[[], object]) -> float:
        finish()
        start = time.perf_counter()
        function()
        finish()
        return time.perf_counter() - start

    def run(function: Callable[[], object], baseline: Callable[[], object], images: int) -> None:
        both = function, baseline
        for f in both * 4 if device.type == "cuda" else both:  # 4 calls include a graph capture
            f()
        round_time = sum(clocked(f) for f in both)
        rounds = int(min(max(budget / round_time, 3), 50))
        seconds: list[float] = []
        benchmark.pedantic(
            lambda: (function(), finish()),
            setup=lambda: seconds.append(clocked(baseline)),
            rounds=rounds,
        )
        ours = Timing(tuple(benchmark.stats.stats.data))
        plain = Timing(tuple(seconds[: len(ours.seconds)]))
        benchmark.extra_info.update(
            ms=1e3 * ours.median,
            baseline_ms=1e3 * plain.median,
            speedup=ours.speedup(plain),
            images_per_second=images / ours.median,
        )

    return run


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Quick mode has no cases for some parts, for each of which pytest inserts a placeholder.
    empty = [item for item in items if "NOTSET" in item.name]
    config.hook.pytest_deselected(items=empty)
    items[:] = [item for item in items if item not in empty]
    wanted = config.getoption("benchmark_part")
    if not wanted:
        return
    parts = {_part(item) for item in items}
    unknown = set(wanted) - parts - set(CARDS)
    if unknown:
        raise pytest.UsageError(
            f"there is no benchmark part {', '.join(sorted(unknown))}: "
            f"choose from {', '.join(sorted(parts | set(CARDS)))}"
        )
    chosen_parts, chosen_cards = set(wanted) & parts, set(wanted) & set(CARDS)
    kept = [
        item
        for item in items
        if (not chosen_parts or _part(item) in chosen_parts)
        and (not chosen_cards or any(card in item.name for card in chosen_cards))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _part(item: pytest.Item) -> str:
    return getattr(item, "originalname", item.name).removeprefix("test_")


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict) -> None:
    ours = machine(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    ours.pop("date")  # pytest-benchmark warns about differing entries when it compares runs
    machine_info["zoo"] = ours


def _ratios(extra_info: dict[str, Any]) -> dict[str, float]:
    """Return the speed-up over the baseline and the entries of `ratios`; higher is better."""
    speedup = extra_info.get("speedup")
    return ({"speed-up": speedup} if speedup else {}) | extra_info.get("ratios", {})


def _regressions(config: pytest.Config) -> Iterator[str]:
    session = getattr(config, "_benchmarksession", None)
    saved_runs = getattr(session, "compared_mapping", None) or {}
    for bench in getattr(session, "benchmarks", []):
        for path, saved in saved_runs.items():
            before = _ratios(saved.get(bench.fullname, {}).get("extra_info", {}))
            for name, now in _ratios(bench.extra_info).items():
                then = before.get(name)
                if then and now < (1 - TOLERANCE) * then:
                    yield f"{bench.name}, {name}: {now:.2f}, was {then:.2f} in {path}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.exitstatus == pytest.ExitCode.OK and list(_regressions(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = getattr(config, "_benchmarksession", None)
    rows = [b for b in getattr(session, "benchmarks", []) if "speedup" in b.extra_info]
    if rows:
        terminalreporter.section("throughput against the baseline, interleaved")
        width = max(len(b.name) for b in rows)
        for b in rows:
            terminalreporter.write_line(
                f"{b.name:{width}}  {b.extra_info['ms']:10.2f} ms  "
                f"{b.extra_info['images_per_second']:12,.0f} images/s  "
                f"baseline {b.extra_info['baseline_ms']:10.2f} ms  "
                f"{b.extra_info['speedup']:6.2f} x"
            )
    for b in getattr(session, "benchmarks", []):
        for name, value in b.extra_info.get("ratios", {}).items():
            terminalreporter.write_line(f"{b.name}, {name}: {value:.2f} x")
    for line in _regressions(config):
        terminalreporter.write_line(f"REGRESSION {line}", red=True)
