"""Stub of the registry while its real version is being written: decorators and `create` only."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from zoo.errors import ZooError

_FOLDERS = {
    "generator": "generators", "discriminator": "discriminators", "head": "heads", "loss": "losses",
    "regularizer": "regularizers", "augmentation": "augmentations", "datamodule": "data", "task": "tasks",
}
_PARTS: dict[tuple[str, str], type] = {}


def _decorator(kind):
    def named(name):
        def register(cls):
            _PARTS[kind, name] = cls
            return cls
        return register
    return named


generator, discriminator, head, loss = map(_decorator, ("generator", "discriminator", "head", "loss"))
regularizer, augmentation = map(_decorator, ("regularizer", "augmentation"))
datamodule, task = map(_decorator, ("datamodule", "task"))


def _load(kind):
    package = importlib.import_module(f"zoo.{_FOLDERS[kind]}")
    for info in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{info.name}")


def factory(kind, name, **options):
    _load(kind)
    if (kind, name) not in _PARTS:
        raise ZooError(f"no {kind} named {name!r}")
    return functools.partial(_PARTS[kind, name], **options)


def create(kind, name, **options):
    return factory(kind, name, **options)()


def list_parts(kind):
    _load(kind)
    return sorted(n for k, n in _PARTS if k == kind)
