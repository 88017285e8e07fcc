"""Import the source files of parts, and explain errors in them."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from zoo.registry.places import (
    PLUGIN_PACKAGE,
    own_folders,
    plugin_files,
    plugin_folders,
    relative,
)


def place_of(file: Path, error: BaseException) -> str:
    """Return the file, with the line in it that caused the error if that is known."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(file):
            line = frame.lineno
    return f"{relative(file)}, line {line}" if line else relative(file)


def reason_of(error: BaseException) -> str:
    """Format an error of a plugin in one line."""
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def import_module(module: str, file: Path) -> ModuleType:
    """Import a source file under a module name, also a plugin, which belongs to no package.

    The caller's default device and inference mode do not affect the import, because tensors that a
    module creates at its top level outlive the call.

    Raises:
        ImportError: another plugin file has the same module name.
    """
    with _ordinary_tensors():
        return _import_module(module, file)


@contextlib.contextmanager
def _ordinary_tensors() -> Iterator[None]:
    """Create tensors on the CPU and with gradients within the context, whatever the caller's state.

    For example, if a module were imported under `torch.device("meta")`, a table at its top level
    would have no values for as long as the process runs.
    """
    torch = sys.modules.get("torch")
    if torch is None:  # listing parts does not import torch, and then it has no state
        yield
        return
    with torch.device("cpu"), torch.inference_mode(False):
        yield


def _import_module(module: str, file: Path) -> ModuleType:
    if module.split(".")[0] != PLUGIN_PACKAGE:
        return importlib.import_module(module)
    if module in sys.modules:
        imported = getattr(sys.modules[module], "__file__", None)
        if imported != str(file):
            raise ImportError(
                f"{file} and {imported or 'a plugin folder'} would both be the module {module}: "
                "rename one of them"
            )
        return sys.modules[module]
    _import_parents(module, file)
    locations = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(
        module, file, submodule_search_locations=locations
    )
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    sys.modules[module] = plugin
    try:
        spec.loader.exec_module(plugin)
    except BaseException:
        del sys.modules[module]
        raise
    return plugin


def import_plugin(module: str) -> ModuleType:
    """Import a plugin file by its module name (`zoo_plugins.my_file`), whether or not it has parts.

    Raises:
        ImportError: no plugin file has this module name.
    """
    for folder in plugin_folders():
        for file, name in plugin_files(folder) if folder.is_dir() else ():
            if name == module:
                return import_module(name, file)
    raise ImportError(f"no plugin file is called {module}")


def _import_parents(module: str, file: Path) -> None:
    """Import the parent packages of a plugin, including their `__init__` files."""
    names = module.split(".")[:-1]
    for depth in range(1, len(names) + 1):
        name = ".".join(names[:depth])
        up = len(names) - depth + (file.name == "__init__.py")
        folder = own_folders()[0] if depth == 1 else file.parents[up]
        init = folder / "__init__.py"
        if name in sys.modules:
            continue
        if init.is_file() and depth > 1:
            import_module(name, init)
        else:
            package = ModuleType(name)
            package.__path__ = [str(folder)]
            sys.modules[name] = package


def import_object(module: str, file: Path, qualname: str) -> Any:
    """Import a source file and return its class or function `qualname`."""
    return getattr(import_module(module, file), qualname)
