"""Find the file of a trained network, given a path, a run's folder, a name, or a hub address."""

from __future__ import annotations

import difflib
import glob
import os
import re
from pathlib import Path

from zoo.core.errors import ZooError, listing, shown, suggest
from zoo.inference.files import WEIGHTS_NAME

_LAST = ("checkpoints/last.ckpt", "last.ckpt", "checkpoints/previous.ckpt", "previous.ckpt")
"""Where a folder may hold its newest checkpoint, or the one before it."""
_MOST_COMPARED, _COMPARED = 500, 100
"""How many checkpoints, and how many characters of each path, are compared with a missing one."""
PRETRAINED = Path(__file__).with_name("pretrained")
_OTHER_WEIGHTS = Path(__file__).parents[1] / "metrics"
"""The folder with the weights of feature networks, which are not generators."""


def pretrained_names() -> list[str]:
    """Return the names of the models that come with the zoo."""
    return sorted(p.parent.name for p in PRETRAINED.glob(f"*/{WEIGHTS_NAME}"))


def locate(path: str | os.PathLike[str], to_resume: bool = False) -> Path:
    """Return the file that `load` reads for a path, a run's folder or a name.

    Args:
        path: the path or name.
        to_resume: whether a training is to be resumed, for which error messages name only
            checkpoints, and no generators without a training.

    Raises:
        ZooError: there is none; the message names similar ones.
    """
    text = os.fspath(path)
    names = [] if to_resume else pretrained_names()
    if not text:  # Path would take it for the current folder
        others = f", a run's folder, or one of {listing(names)}" if names else " or a run's folder"
        raise ZooError(f"an empty name is not a checkpoint: give a file{others}.")
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
    except (OSError, RuntimeError) as error:  # too long, or the home of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise ZooError(f"there is no checkpoint at {text[:60]!r}: {reason}.") from error
    if is_folder:
        for inside in (*_LAST, WEIGHTS_NAME):
            if (file / inside).is_file():
                return file / inside
        places = listing(_LAST if to_resume else (*_LAST, WEIGHTS_NAME))
        raise ZooError(
            f"the folder {file} holds no checkpoint (looked for {places})."
            f"{_nearest(file, to_resume)}"
        )
    shipped = f" Models that come with the zoo: {listing(names)}." if names else ""
    raise ZooError(
        f"there is no checkpoint at {text!r}.{suggest(text, names)}{_nearest(file, to_resume)}"
        f"{shipped}"
    )


def called(file: Path) -> str:
    """Return how an error message calls a network's file: by its name if it came with the zoo."""
    return file.parent.name if file.parent.parent == PRETRAINED else shown(file)


def public_name(file: Path) -> str:
    """Return the name of a network's file for a page or report, without this machine's folders."""
    if file.parent.parent == PRETRAINED:
        return file.parent.name
    whole = file.absolute()
    if whole.is_relative_to(Path.cwd()):
        return str(whole.relative_to(Path.cwd()))
    within = 3 if whole.parent.name == "checkpoints" else 1
    return str(Path(*whole.parts[-within:]))


def without_discriminator(file: Path, use: str) -> str:
    """Return the error message that a file has no discriminator, which `use` needs."""
    return (
        f"{use} needs the discriminator, but {called(file)} holds only the generator, like all "
        "published and exported files: use a .ckpt file of a training, or its run's folder "
        "(ckpt=RUN)."
    )


def without_folders(text: str, file: Path) -> str:
    """Shorten the paths in a sentence about `file`, so that it shows no folders of this machine."""
    text = text.replace(str(file), public_name(file)).replace(f"{Path.cwd()}{os.sep}", "")
    return re.sub(r"(?<![\w.~/:-])/(?:[^\s/:]+/)*([^\s/:]+)", r"\1", text)


def checkpoints_of(path: str) -> list[str]:
    """Return the checkpoints that a path stands for, sorted by name.

    A pattern (`run/checkpoints/images_*.ckpt`) stands for all matching files, and a run's folder
    `checkpoints` for all checkpoints in it. Any other path stands for itself.

    Raises:
        ZooError: no file matches the pattern.
    """
    place = Path(path).expanduser()
    if place.name == "checkpoints" and place.is_dir():
        return [str(file) for file in sorted(place.glob("*.ckpt"))] or [path]
    if not glob.has_magic(path) or place.exists():
        return [path]
    matches = sorted(glob.glob(str(place), recursive=True))
    if not matches:
        raise ZooError(f"no file matches the pattern {path!r}.")
    return matches


def _ends(path: str) -> str:
    """Shorten a long path to its beginning and its end."""
    half = _COMPARED // 2
    return path if len(path) <= _COMPARED else path[:half] + path[-half:]


def _nearest(missing: Path, to_resume: bool) -> str:
    """Return a sentence with the checkpoints whose paths are most similar to a missing one.

    Args:
        missing: the path at which there is no checkpoint.
        to_resume: whether to leave out files without a training.
    """
    suffixes = (".ckpt",) if to_resume else (".ckpt", ".safetensors")
    folder = missing.absolute()
    while not folder.is_dir():
        folder = folder.parent
    checkpoints: list[str] = []
    visited = 0
    for where, folders, files in os.walk(folder):
        depth = len(Path(where).relative_to(folder).parts)
        skipped = (".", "tests", "node_modules", "site-packages")
        ends = depth >= 5 or Path(where) == _OTHER_WEIGHTS
        folders[:] = [] if ends else sorted(f for f in folders if not f.startswith(skipped))
        weights = [f for f in files if f.endswith(suffixes)]
        checkpoints += [os.path.join(where, f) for f in weights]
        visited += 1 + len(files)
        if visited > 5000:  # searching a whole disk would take minutes
            break
    if not checkpoints:
        return f" The folder {folder} exists, but there is no checkpoint below it."
    names = {_ends(os.path.relpath(file, folder)): file for file in checkpoints[:_MOST_COMPARED]}
    wanted = _ends(os.path.relpath(missing.absolute(), folder))
    close = difflib.get_close_matches(wanted, names, n=3, cutoff=0.0)
    return f" Most similar: {listing(os.path.relpath(names[name]) for name in close)}."
