"""`pytest` runs the tests; `pytest --benchmark` measures throughput instead (see benchmarks/)."""

from __future__ import annotations

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("throughput")
    group.addoption(
        "--benchmark",
        action="store_true",
        help="measure throughput against plain PyTorch instead of testing",
    )
    group.addoption(
        "--benchmark-quick",
        action="store_true",
        help="with --benchmark: about two minutes on two cores",
    )
    group.addoption(
        "--benchmark-part",
        action="append",
        metavar="NAME",
        help="with --benchmark: only this part or card (again for more), e.g. step, dcgan_32",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("benchmark"):
        return
    if not config.pluginmanager.hasplugin("benchmark"):
        raise pytest.UsageError("--benchmark needs pytest-benchmark: pip install -e '.[dev]'")
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = [str(BENCHMARKS)]


@pytest.hookimpl(tryfirst=True)
def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    inside = BENCHMARKS in (collection_path, *collection_path.parents)
    return True if inside and not config.getoption("benchmark") else None
