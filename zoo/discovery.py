"""Where parts come from: reading `zoo/`, plugin folders and pip packages without importing them."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zoo.errors import ZooError
from zoo.signature import NotReadable, from_callable, from_source

if TYPE_CHECKING:
    from zoo.registry import DuplicateError, Part, Registry

ZOO = Path(__file__).parent
ROOT = ZOO.parent
PLUGIN_PACKAGE = "zoo_plugins"
ENTRY_POINTS = "zoo.plugins"


def plugin_folders() -> list[Path]:
    """`plugins/` beside run.py, and the folders named by `ZOO_PLUGINS` (separated as in PATH)."""
    named = [Path(p).expanduser() for p in os.environ.get("ZOO_PLUGINS", "").split(os.pathsep) if p]
    default = ROOT / "plugins"
    return list(dict.fromkeys(p.resolve() for p in [default, *named] if p != default or p.is_dir()))


def discover(registry: Registry) -> Iterator[tuple[str, DuplicateError]]:
    """Enter the parts of every source into `registry`; what cannot be read becomes a problem.

    Yields:
        The files left out for a part whose name is taken, with the sentence about it.
    """
    from zoo.registry import FOLDERS

    for folder in FOLDERS.values():
        for file in sorted((ZOO / folder).glob("*.py")):
            yield from _read(registry, file, f"zoo.{folder}.{file.stem}", "zoo")
    for place in plugin_folders():
        if not place.is_dir():
            registry.problems.append((str(place), "ZOO_PLUGINS names it, but there is no folder"))
            continue
        for file, module in _plugin_files(place):
            yield from _read(registry, file, module, _relative(file))
    for file, module, package in _installed_files(registry):
        yield from _read(registry, file, module, f"package {package}")


def _relative(file: Path) -> str:
    return str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else str(file)


def _plugin_files(folder: Path) -> Iterator[tuple[Path, str]]:
    default = folder == ROOT / "plugins"
    prefix = PLUGIN_PACKAGE if default else f"{PLUGIN_PACKAGE}.{_identifiers()[folder]}"
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_", "test_")) or path.name == "conftest.py":
            continue
        if path.suffix == ".py":
            yield path, f"{prefix}.{path.stem}"
        elif (path / "__init__.py").is_file():
            yield from _package_files(path, f"{prefix}.{path.name}")


def _identifiers() -> dict[Path, str]:
    """A module name for each plugin folder, whatever the order in which they are named."""
    names: dict[Path, str] = {}
    for folder in sorted(plugin_folders()):
        name = re.sub(r"\W", "_", f"{folder.parent.name}_{folder.name}")
        while name in names.values():  # /a/gan/plugins and /b/gan/plugins
            name += "_"
        names[folder] = name
    return names


def _package_files(folder: Path, module: str) -> Iterator[tuple[Path, str]]:
    for file in sorted(folder.rglob("*.py")):
        if file.name.startswith("test_"):
            continue
        inner = file.relative_to(folder).with_suffix("").parts
        yield file, ".".join([module, *(p for p in inner if p != "__init__")])


def _installed_files(registry: Registry) -> Iterator[tuple[Path, str, str]]:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist else entry.name
        try:  # imports the parents of a dotted module, which may fail in any way
            spec = importlib.util.find_spec(entry.module)
        except Exception as error:
            registry.problems.append((f"package {package}", f"{type(error).__name__}: {error}"))
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


def _read(
    registry: Registry, file: Path, module: str, source: str
) -> Iterator[tuple[str, DuplicateError]]:
    from zoo.registry import DuplicateError

    try:
        try:
            found = list(read_parts(file, module, source))
        except NotReadable:
            import_module(module, file)
            found = [p for p in registry.known() if p.module == module]
            for part in found:
                part.source = source
        for part in found:
            registry.add(part)
    except DuplicateError as twin:
        registry.forget(file)
        yield _relative(file), twin
    except (Exception, SystemExit) as error:
        if source == "zoo":
            raise
        registry.forget(file)
        registry.problems.append((place_of(file, error), reason_of(error)))


def place_of(file: Path, error: BaseException) -> str:
    """The file, with the line of it that failed."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(file):
            line = frame.lineno
    return f"{_relative(file)}, line {line}" if line else _relative(file)


def reason_of(error: BaseException) -> str:
    """An error of a plugin in one line."""
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def read_parts(file: Path, module: str, source: str) -> Iterator[Part]:
    """The parts of a source file, told from its syntax tree.

    Raises:
        NotReadable: a name or a signature is not written out.
        SyntaxError: the file is not Python.
    """
    from zoo.registry import FILLED, Part

    tree = ast.parse(file.read_bytes(), str(file))
    names = _decorator_names(tree)
    read = 0
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        marks = [d for d in node.decorator_list if _kind(d, names)]
        if marks and len(marks) < len(node.decorator_list):
            raise NotReadable("another decorator, which may change the signature")
        for mark in marks:
            kind, name = _kind(mark, names), _name(mark)
            summary, paper = read_docstring(ast.get_docstring(node) or "")
            parameters = from_source(node, tree, FILLED.get(kind, ()))
            read += 1
            yield Part(kind, name, node.name, module, file, source, parameters, summary, paper)
    if _registrations(tree, names) > read:
        raise NotReadable("parts registered in a loop, a condition or a function")


def _decorator_names(tree: ast.Module) -> dict[str, str]:
    """How the file writes the decorators: `{"generator": "generator", "z.loss": "loss"}`.

    Raises:
        NotReadable: a star import, which hides them.
    """
    from zoo.registry import FOLDERS

    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [a for a in node.names if a.name in ("zoo", "zoo.registry")]
            owners = [a.asname or a.name for a in modules]
        elif isinstance(node, ast.ImportFrom) and node.module in ("zoo", "zoo.registry"):
            if node.names[0].name == "*":
                raise NotReadable("a star import")
            owners = [a.asname or a.name for a in node.names if a.name == "registry"]
            names |= {a.asname or a.name: a.name for a in node.names if a.name in FOLDERS}
        else:
            continue
        names |= {f"{owner}.{kind}": kind for owner in owners for kind in FOLDERS}
    return names


def _kind(node: ast.expr, names: dict[str, str]) -> str:
    """The kind that `node` registers if it is a call of a decorator, else the empty string."""
    return names.get(ast.unparse(node.func), "") if isinstance(node, ast.Call) else ""


def _name(mark: ast.expr) -> str:
    assert isinstance(mark, ast.Call)
    arguments = [*mark.args, *(k.value for k in mark.keywords)]
    if len(arguments) != 1 or not isinstance(arguments[0], ast.Constant):
        raise NotReadable("a part's name is not written out")
    return str(arguments[0].value)


def _registrations(tree: ast.Module, names: dict[str, str]) -> int:
    """How often the file uses a decorator, at any depth: above a class, or as `loss("a")(Class)`.

    A decorator that comes by another way than from `zoo` (`from .common import loss`) counts too.
    """
    from zoo.registry import FOLDERS

    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            calls = [ast.unparse(d.func) for d in node.decorator_list if isinstance(d, ast.Call)]
            count += sum(c in names or c.rpartition(".")[2] in FOLDERS for c in calls)
        elif isinstance(node, ast.Call):
            count += bool(_kind(node.func, names))
    return count


def read_docstring(text: str) -> tuple[str, str]:
    """First line and the paper (the paragraph that starts with `Paper:`) of a docstring."""
    summary = text.strip().partition("\n")[0].strip()
    found = re.findall(r"^\s*Papers?:\s*(.+?)(?=\n\s*\n|\n\s*Papers?:|\Z)", text, re.M | re.S)
    return summary, "; ".join(" ".join(p.split()).rstrip(".") for p in found)


def describe(kind: str, name: str, live: Any) -> Part:
    """A part from its live class or function."""
    from zoo.registry import Part

    module = sys.modules.get(live.__module__)
    file = getattr(module, "__file__", None)
    summary, paper = read_docstring(live.__doc__ or "")
    source = "zoo" if live.__module__.startswith("zoo.") else live.__module__
    if file and source != "zoo":
        source = _relative(Path(file))
    parameters = from_callable(live)
    path = Path(file) if file else None
    made = Part(
        kind, name, live.__qualname__, live.__module__, path, source, parameters, summary, paper
    )
    made._live = live
    return made


def import_module(module: str, file: Path) -> ModuleType:
    """Import a source file under its registry name (plugins lie outside of any package).

    Whatever device or mode is the caller's: what the file makes at its top level stays.

    Raises:
        ImportError: another plugin file has that name.
    """
    with _ordinary_tensors():
        return _import_module(module, file)


@contextlib.contextmanager
def _ordinary_tensors() -> Iterator[None]:
    """Within it, tensors are made on the CPU and take part in gradients, also under `torch.device`.

    Under `torch.device("meta")` a table at the top of a module would be without its values for as
    long as the process runs.
    """
    torch = sys.modules.get("torch")
    if torch is None:  # listing parts goes without it, and then no context is in force
        yield
        return
    with torch.device("cpu"), torch.inference_mode(False):
        yield


def _import_module(module: str, file: Path) -> ModuleType:
    if module.split(".")[0] != PLUGIN_PACKAGE:
        return importlib.import_module(module)
    if module in sys.modules:
        known = getattr(sys.modules[module], "__file__", None)
        if known != str(file):
            raise ImportError(
                f"{file} and {known or 'a plugin folder'} would both be the module {module}: "
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
    made = importlib.util.module_from_spec(spec)
    sys.modules[module] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[module]
        raise
    return made


def import_plugin(module: str) -> ModuleType:
    """Import a plugin file by its module name (`zoo_plugins.my_file`), also one without parts.

    Raises:
        ImportError: no plugin file has that name.
    """
    for folder in plugin_folders():
        for file, name in _plugin_files(folder) if folder.is_dir() else ():
            if name == module:
                return import_module(name, file)
    raise ImportError(f"no plugin file is called {module}")


def _import_parents(module: str, file: Path) -> None:
    """Make `zoo_plugins.folder.package` importable, running a package's `__init__` first."""
    names = module.split(".")[:-1]
    for depth in range(1, len(names) + 1):
        name = ".".join(names[:depth])
        up = len(names) - depth + (file.name == "__init__.py")
        folder = ROOT / "plugins" if depth == 1 else file.parents[up]
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
    except (Exception, SystemExit) as error:
        if part.source == "zoo":
            raise
        raise ZooError(
            f"{part.kind} {part.name!r} cannot be used, because {place_of(part.file, error)} "
            f"cannot be imported: {reason_of(error)}"
        ) from error
