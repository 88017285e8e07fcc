"""Where a trained network's file is: a path, a run's folder, a name, or the hub."""

from __future__ import annotations

import difflib
import glob
import os
import re
from pathlib import Path

from zoo.core.errors import ZooError, listing, suggest
from zoo.inference.files import WEIGHTS_NAME

_LAST = ("checkpoints/last.ckpt", "last.ckpt", "checkpoints/previous.ckpt", "previous.ckpt")
"""Where a folder holds its newest checkpoint, and the one before, where that is lost."""
_MOST_COMPARED, _COMPARED = 500, 100
"""Checkpoints that a path is held against, and letters of each: it takes time with both."""
PRETRAINED = Path(__file__).with_name("pretrained")
_OTHER_WEIGHTS = Path(__file__).parents[1] / "metrics"
"""Where weights lie of networks that look at pictures and draw none."""


def pretrained_names() -> list[str]:
    """The names of the models that come with the zoo."""
    return sorted(p.parent.name for p in PRETRAINED.glob(f"*/{WEIGHTS_NAME}"))


def locate(path: str | os.PathLike[str]) -> Path:
    """The file that `load` reads for a path, a run's folder or a name.

    Raises:
        ZooError: there is none; the sentence shows the nearest ones.
    """
    text = os.fspath(path)
    if not text:  # as a path it would be the current folder
        raise ZooError(
            "an empty name is no checkpoint: give a file, a run's folder, or one of "
            f"{listing(pretrained_names())}."
        )
    if text.startswith("hf:"):
        from zoo.inference.hub import fetch

        return fetch(text[3:])
    if text in pretrained_names():
        return PRETRAINED / text / WEIGHTS_NAME
    try:
        file = Path(text).expanduser()
        if file.is_file():
            return file
        is_folder = file.is_dir()
    except (OSError, RuntimeError) as error:  # too long, or the home of nobody
        reason = getattr(error, "strerror", None) or error
        raise ZooError(f"there is no checkpoint at {text[:60]!r}: {reason}.") from error
    if is_folder:
        for inside in (*_LAST, WEIGHTS_NAME):
            if (file / inside).is_file():
                return file / inside
        raise ZooError(
            f"the folder {file} holds no checkpoint (looked for {listing(_LAST)} and "
            f"{WEIGHTS_NAME}).{_nearest(file)}"
        )
    raise ZooError(
        f"there is no checkpoint at {text!r}.{suggest(text, pretrained_names())}{_nearest(file)} "
        f"Models that come with the zoo: {listing(pretrained_names())}."
    )


def public_name(file: Path) -> str:
    """A network's file as a page or a report names it: without the folders of this machine."""
    if file.parent.parent == PRETRAINED:
        return file.parent.name
    whole = file.absolute()
    if whole.is_relative_to(Path.cwd()):
        return str(whole.relative_to(Path.cwd()))
    within = 3 if whole.parent.name == "checkpoints" else 1
    return str(Path(*whole.parts[-within:]))


def without_folders(text: str, file: Path) -> str:
    """A sentence about `file` without the folders of this machine: only names are left of paths."""
    text = text.replace(str(file), public_name(file)).replace(f"{Path.cwd()}{os.sep}", "")
    return re.sub(r"(?<![\w.~/:-])/(?:[^\s/:]+/)*([^\s/:]+)", r"\1", text)


def checkpoints_of(path: str) -> list[str]:
    """The checkpoints that a path means where several may be meant, in the order of their names.

    A pattern (`run/checkpoints/images_*.ckpt`) is all that fit it, a run's folder `checkpoints` all
    in it; anything else is itself.

    Raises:
        ZooError: a pattern that nothing fits.
    """
    place = Path(path).expanduser()
    if place.name == "checkpoints" and place.is_dir():
        return [str(file) for file in sorted(place.glob("*.ckpt"))] or [path]
    if not glob.has_magic(path) or place.exists():
        return [path]
    found = sorted(glob.glob(str(place), recursive=True))
    if not found:
        raise ZooError(f"no file fits the pattern {path!r}.")
    return found


def _ends(path: str) -> str:
    half = _COMPARED // 2
    return path if len(path) <= _COMPARED else path[:half] + path[-half:]


def _nearest(missing: Path) -> str:
    """A sentence with the checkpoints closest to a path that is not there."""
    folder = missing.absolute()
    while not folder.is_dir():
        folder = folder.parent
    found: list[str] = []
    visited = 0
    for where, folders, files in os.walk(folder):
        depth = len(Path(where).relative_to(folder).parts)
        hidden = (".", "tests", "node_modules", "site-packages")
        ends = depth >= 5 or Path(where) == _OTHER_WEIGHTS
        folders[:] = [] if ends else sorted(f for f in folders if not f.startswith(hidden))
        found += [os.path.join(where, f) for f in files if f.endswith((".ckpt", ".safetensors"))]
        visited += 1 + len(files)
        if visited > 5000:  # enough to help; a whole disk would take minutes
            break
    if not found:
        return f" The folder {folder} exists, without a checkpoint below it."
    names = {_ends(os.path.relpath(file, folder)): file for file in found[:_MOST_COMPARED]}
    wanted = _ends(os.path.relpath(missing.absolute(), folder))
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.0)
    return f" Nearest: {listing(os.path.relpath(names[name]) for name in close)}."
