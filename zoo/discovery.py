"""Where parts come from: reading `zoo/`, plugin folders and pip packages without importing them."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.signature import NotReadable, from_callable, from_source

if TYPE_CHECKING:
    from zoo.registry import Part, Registry

ZOO = Path(__file__).parent
ROOT = ZOO.parent
PLUGIN_PACKAGE = "zoo_plugins"
ENTRY_POINTS = "zoo.plugins"


def plugin_folders() -> list[Path]:
    """`plugins/` beside run.py, and the folders named by `ZOO_PLUGINS` (separated as in PATH)."""
    named = [Path(p).expanduser() for p in os.environ.get("ZOO_PLUGINS", "").split(os.pathsep) if p]
    default = ROOT / "plugins"
    return list(dict.fromkeys(p.resolve() for p in [default, *named] if p != default or p.is_dir()))


def discover(registry: Registry) -> None:
    """Enter the parts of every source into `registry`; what cannot be read becomes a problem."""
    from zoo.registry import FOLDERS

    for folder in FOLDERS.values():
        for file in sorted((ZOO / folder).glob("*.py")):
            _read(registry, file, f"zoo.{folder}.{file.stem}", "zoo")
    for folder in plugin_folders():
        if not folder.is_dir():
            registry.problems.append((str(folder), "ZOO_PLUGINS names it, but there is no folder"))
            continue
        for file, module in _plugin_files(folder):
            _read(registry, file, module, _relative(file))
    for file, module, package in _installed_files(registry):
        _read(registry, file, module, f"package {package}")


def _relative(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def _plugin_files(folder: Path) -> Iterator[tuple[Path, str]]:
    default = folder == ROOT / "plugins"
    prefix = PLUGIN_PACKAGE if default else f"{PLUGIN_PACKAGE}.{_identifier(folder)}"
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_", "test_")):
            continue
        if path.suffix == ".py":
            yield path, f"{prefix}.{path.stem}"
        elif (path / "__init__.py").is_file():
            yield from _package_files(path, f"{prefix}.{path.name}")


def _identifier(folder: Path) -> str:
    """A module name for a plugin folder, the same in every run and on every machine's layout."""
    return re.sub(r"\W", "_", f"{folder.parent.name}_{folder.name}")


def _package_files(folder: Path, module: str) -> Iterator[tuple[Path, str]]:
    for file in sorted(folder.rglob("*.py")):
        if file.name.startswith("test_"):
            continue
        inner = file.relative_to(folder).with_suffix("").parts
        yield file, ".".join([module, *(p for p in inner if p != "__init__")])


def _installed_files(registry: Registry) -> Iterator[tuple[Path, str, str]]:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist else entry.name
        try:
            spec = importlib.util.find_spec(entry.module)
        except ImportError as error:
            registry.problems.append((f"package {package}", str(error)))
            continue
        if spec is None or spec.origin is None:
            registry.problems.append((f"package {package}", f"no module {entry.module}"))
            continue
        file = Path(spec.origin)
        files = (
            _package_files(file.parent, entry.module)
            if file.name == "__init__.py"
            else [(file, entry.module)]
        )
        yield from ((path, module, package) for path, module in files)


def _read(registry: Registry, file: Path, module: str, source: str) -> None:
    try:
        try:
            found = list(read_parts(file, module, source))
        except NotReadable:
            before = {id(p) for p in registry._parts.values()}
            import_module(module, file)
            found = [p for p in registry._parts.values() if id(p) not in before]
            for part in found:
                part.source = source
            return
        for part in found:
            registry.add(part)
    except ZooError:
        raise
    except Exception as error:
        if source == "zoo":
            raise
        where = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        registry.problems.append((f"{_relative(file)}{where}", f"{type(error).__name__}: {error}"))


def read_parts(file: Path, module: str, source: str) -> Iterator[Part]:
    """The parts of a source file, told from its syntax tree.

    Raises:
        NotReadable: a name or a signature is not written out.
        SyntaxError: the file is not Python.
    """
    from zoo.registry import FILLED, Part

    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text, str(file))
    aliases = _decorator_names(tree)
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            if isinstance(node, ast.For | ast.While) and any(a in ast.dump(node) for a in aliases):
                raise NotReadable("parts registered in a loop")
            continue
        for kind, name in _decorations(node, aliases):
            summary, paper = read_docstring(ast.get_docstring(node) or "")
            parameters = from_source(node, tree, FILLED.get(kind, ()))
            yield Part(kind, name, node.name, module, file, source, parameters, summary, paper)


def _decorator_names(tree: ast.Module) -> dict[str, str]:
    """Local names of the decorators: `from zoo import generator as g` gives `{"g": "generator"}`."""
    from zoo.registry import FOLDERS

    return {
        alias.asname or alias.name: alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module in ("zoo", "zoo.registry")
        for alias in node.names
        if alias.name in FOLDERS
    }


def _decorations(
    node: ast.ClassDef | ast.FunctionDef, aliases: dict[str, str]
) -> Iterator[tuple[str, str]]:
    from zoo.registry import FOLDERS

    for decorator in node.decorator_list:
        if not isinstance(decorator, ast.Call):
            continue
        called = decorator.func
        if isinstance(called, ast.Name):
            kind = aliases.get(called.id)
        else:
            owner = getattr(getattr(called, "value", None), "id", "")
            attribute = getattr(called, "attr", "")
            kind = attribute if owner == "zoo" and attribute in FOLDERS else None
        if kind is None:
            continue
        arguments = [*decorator.args, *(k.value for k in decorator.keywords)]
        if len(arguments) != 1 or not isinstance(arguments[0], ast.Constant):
            raise NotReadable("a part's name is not written out")
        yield kind, str(arguments[0].value)


def read_docstring(text: str) -> tuple[str, str]:
    """First line and the paper (the paragraph that starts with `Paper:`) of a docstring."""
    summary = text.strip().partition("\n")[0].strip()
    match = re.search(r"^\s*Papers?:\s*(.+?)(?:\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return summary, " ".join(match[1].split()).rstrip(".") if match else ""


def describe(kind: str, name: str, live: Any) -> Part:
    """A part from its live class or function."""
    from zoo.registry import Part

    module = sys.modules.get(live.__module__)
    file = getattr(module, "__file__", None)
    summary, paper = read_docstring(live.__doc__ or "")
    source = "zoo" if live.__module__.startswith("zoo.") else (file or live.__module__)
    parameters = from_callable(live)
    path = Path(file) if file else None
    return Part(
        kind, name, live.__qualname__, live.__module__, path, source, parameters, summary, paper, live
    )  # fmt: skip


def import_module(module: str, file: Path) -> ModuleType:
    """Import a source file under its registry name (plugins lie outside of any package)."""
    if module in sys.modules:
        return sys.modules[module]
    if module.split(".")[0] != PLUGIN_PACKAGE:
        return importlib.import_module(module)
    _import_parents(module, file)
    locations = [str(file.parent)] if file.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(
        module, file, submodule_search_locations=locations
    )
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[module]
        raise
    return made


def _import_parents(module: str, file: Path) -> None:
    """Make `zoo_plugins.folder.package` importable, running a package's `__init__` first."""
    names = module.split(".")[:-1]
    for depth in range(1, len(names) + 1):
        name = ".".join(names[:depth])
        up = len(names) - depth + (file.name == "__init__.py")
        folder = file.parents[up] if up < len(file.parents) else file.parent
        init = folder / "__init__.py"
        if name in sys.modules:
            continue
        if init.is_file() and depth > 1:
            import_module(name, init)
        else:
            package = ModuleType(name)
            package.__path__ = [str(folder)]
            sys.modules[name] = package


def import_part(part: Part) -> Any:
    """The live class or function of a part that was read from source.

    Raises:
        ZooError: its file cannot be imported, or does not hold it any more.
    """
    assert part.file is not None
    try:
        module = import_module(part.module, part.file)
        return getattr(module, part.qualname)
    except ZooError:
        raise
    except Exception as error:
        if part.source == "zoo":
            raise
        raise ZooError(
            f"{part.kind} {part.name!r} cannot be used, because its file {part.file} cannot be "
            f"imported: {type(error).__name__}: {error}"
        ) from error
