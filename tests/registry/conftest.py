"""Plugin files for the tests of the registry."""

from __future__ import annotations

import sys
import textwrap

import pytest

from zoo.registry import Registry


@pytest.fixture
def drop(tmp_path, monkeypatch):
    """Writes plugin files into an extra folder and returns a registry that has looked there."""
    folder = tmp_path / "extra"
    folder.mkdir()
    monkeypatch.setenv("ZOO_PLUGINS", str(folder))

    def scan(**files: str) -> Registry:
        for name, text in files.items():
            path = folder / (name.replace("__", "/", 1) + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            if path.parent != folder:
                (path.parent / "__init__.py").touch()
        registry = Registry()
        monkeypatch.setattr("zoo.registry.registry.REGISTRY", registry)
        registry.scan()
        return registry

    yield scan
    for module in [m for m in sys.modules if m.startswith("zoo_plugins.")]:
        del sys.modules[module]
