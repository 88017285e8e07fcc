"""The throughput of steps: all cards and losses, both updates, and all penalties."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.suite import Case, cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    part = metafunc.function.__name__.removeprefix("test_")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    quick = metafunc.config.getoption("benchmark_quick")
    pairs = [
        pytest.param(case, name, id=f"{case.name}-{name.replace(', ', '-')}")
        for case in cases(quick, device)
        if case.part == part
        for name in case.contenders(device)
        if name != "plain" and not (quick and name in ("tuned", "torchgan", "mimicry"))
    ]
    metafunc.parametrize(("case", "name"), pairs)


def _measure(case: Case, name: str, device: torch.device, against: Any) -> None:
    found = case.contenders(device)
    function = case.function(found[name], device)
    if function is None:
        pytest.skip(f"{name} has no such part")
    baseline = case.function(found["plain"], device)
    against(function, baseline, case.batch_size)


def test_step(case: Case, name: str, device: torch.device, against: Any) -> None:
    _measure(case, name, device, against)


def test_discriminator(case: Case, name: str, device: torch.device, against: Any) -> None:
    _measure(case, name, device, against)


def test_generator(case: Case, name: str, device: torch.device, against: Any) -> None:
    _measure(case, name, device, against)


def test_penalty(case: Case, name: str, device: torch.device, against: Any) -> None:
    _measure(case, name, device, against)


def test_loss(case: Case, name: str, device: torch.device, against: Any) -> None:
    _measure(case, name, device, against)
