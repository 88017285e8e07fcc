"""Options of pytest: `pytest` runs the tests, and `pytest --plugin NAME` those of a single part.

`pytest --memory` runs only the tests that take gigabytes and minutes. `pytest --benchmark` measures
throughput instead of testing (see benchmarks/).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if "--benchmark" not in sys.argv:
    # The networks in tests are tiny, and parallel processes (`-n 2`, run.py) share the cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parent
BENCHMARKS = ROOT / "benchmarks"


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
        help="with --benchmark: a quick version, about two minutes on two cores",
    )
    group.addoption(
        "--benchmark-part",
        action="append",
        metavar="NAME",
        help="with --benchmark: only this part or card, e.g. step, dcgan_32 (may be repeated)",
    )
    parser.addoption(
        "--memory",
        action="store_true",
        help="run only the tests of large networks, which take gigabytes and minutes",
    )
    parser.addoption(
        "--plugin",
        metavar="NAME",
        help="run only the contract tests of the part NAME and the tests next to its file",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("plugin"):
        _select_plugin(config, config.getoption("plugin"))
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


def _select_plugin(config: pytest.Config, name: str) -> None:
    from zoo.core.errors import suggest
    from zoo.registry import REGISTRY

    files = [p.file for p in REGISTRY.parts() if p.name == name and p.file]
    if not files:
        problems = "".join(f" {place} is broken: {reason}." for place, reason in REGISTRY.problems)
        hint = suggest(name, (p.name for p in REGISTRY.parts()))
        raise pytest.UsageError(f"--plugin: there is no part {name!r}.{hint}{problems}")
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        return
    beside = [t for f in files for t in sorted(f.parent.glob("test_*.py"))]
    own = [t for t in beside if (t.parent / "__init__.py").exists() or t.stem[5:] == name]
    contracts = sorted((ROOT / "tests" / "contracts").glob("test_contracts*.py"))
    config.args = [*map(str, contracts), *map(str, own)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the memory tests or all others; with `--plugin`, only contract tests of that part."""
    name, memory = config.getoption("plugin"), config.getoption("memory")
    chosen = [(item.get_closest_marker("memory") is not None) == memory for item in items]
    if name:
        parts = [getattr(item, "callspec", None) for item in items]
        own = [p is None or p.params.get("part", (0, name))[1] == name for p in parts]
        chosen = [c and o for c, o in zip(chosen, own, strict=True)]
    config.hook.pytest_deselected(items=[i for i, c in zip(items, chosen, strict=True) if not c])
    items[:] = [i for i, c in zip(items, chosen, strict=True) if c]
