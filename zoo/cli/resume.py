"""Resume a training from the command line, with the settings in its checkpoint."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from zoo.cli.grammar import argument, key_of, quote, value_of
from zoo.cli.old_checkpoints import old_values
from zoo.cli.replay import is_sweep, overrides_of
from zoo.cli.settings import checked, is_own
from zoo.core.errors import ZooError

ONLY_TELLS = "traceback"
"""The preset of `debug` that leaves the training as it is."""
_CLOSED = "wandb/*run-*"
"""Folders within a run to which nothing more is written. W&B creates one at each start, with a link
to a log in its own cache."""


def continue_run(arguments: list[str], config_dir: str | None = None) -> list[str]:
    """Put a run's own settings before the user's overrides if these resume a training.

    A training is resumed with `resume=`, or with `ckpt=` in `task=train`. A run's last checkpoint
    is resumed in the run's own folder unless `hydra.run.dir` is given. An earlier checkpoint is
    resumed in a new folder, where it replaces nothing; so are the runs of a sweep and those with a
    preset of `debug`.

    Args:
        arguments: the command line.
        config_dir: a folder with further configuration files, or None.

    Returns:
        The command line, with the settings of the checkpoint as overrides.

    Raises:
        ZooError: there is no such file, it holds no training, or its settings are not allowed.
    """
    task = value_of(arguments, "task") or "train"
    path = value_of(arguments, "resume") or (
        value_of(arguments, "ckpt") if task == "train" else None
    )
    for key in ("resume", "model.start"):
        if value_of(arguments, key) == "":  # for example from a shell variable that is not set
            raise ZooError(f"{key}= names no run: give {key}=outputs/train/RUN, or leave it out.")
    if task != "train" or not path or path == "null":
        return arguments
    sweep = "-m" in arguments or "--multirun" in arguments
    if sweep and any(key_of(a) in ("resume", "ckpt") and is_sweep(a) for a in arguments):
        raise ZooError(
            f"resume={path} names several checkpoints, each with settings of its own: resume them "
            "one at a time."
        )
    file, info = open_training(path)
    given = [a for a in arguments if ("=" in a or a.startswith("~")) and not a.startswith("-")]
    restored = _restored(file, info, given, config_dir)
    folder = file.parent.parent
    given_keys = {key_of(a) for a in arguments}
    if not _classes(info) and "model.conditional" not in given_keys | set(map(key_of, restored)):
        restored.append("model.conditional=false")  # was the default in older versions
    if (
        not sweep
        and "hydra.run.dir" not in given_keys
        and value_of(given, "debug") in (None, "null", ONLY_TELLS)
        and (folder / ".hydra").is_dir()
        and ends_run(file, info)
    ):
        check_no_links(folder)
        restored.append(f"hydra.run.dir={quote(str(folder))}")
    # Insert next to the first override, because Hydra allows no flags between overrides.
    first = next(i for i, a in enumerate(arguments) if "=" in a and not a.startswith("-"))
    rest = [a for a in arguments[first:] if key_of(a) not in ("resume", "ckpt")]
    return [*arguments[:first], *restored, f"resume={quote(str(file))}", *rest]


def _restored(
    file: Path, info: dict[str, Any], given: list[str], config_dir: str | None
) -> list[str]:
    """Return the settings in a checkpoint as overrides, except those that the user replaces."""
    settings = _settings_in(file)
    if settings is not None:
        values, own = checked(settings, file), is_own(settings)
    elif "overrides" in info:
        values, own = checked({"values": old_values(info["overrides"], given, file)}, file), False
    else:
        return []
    return overrides_of(values, given, file, own, config_dir)


def _settings_in(file: Path) -> Any:
    import torch

    return torch.load(file, map_location="cpu", weights_only=True, mmap=True).get("settings")


def open_training(path: str) -> tuple[Path, dict[str, Any]]:
    """Find a checkpoint with a training to resume.

    Args:
        path: a checkpoint, or a run's folder, which stands for its last checkpoint.

    Returns:
        The checkpoint's absolute path, and its description.

    Raises:
        ZooError: there is no checkpoint, or it is an exported or published generator.
    """
    from zoo.inference.files import read
    from zoo.inference.locate import locate

    file = locate(path, to_resume=True).absolute()
    previous = file.with_name("previous.ckpt")
    try:
        info, _ = read(file)
    except ZooError as error:
        if file.name != "last.ckpt" or not previous.is_file():
            raise
        file, (info, _) = previous, read(previous)
        print(f"note: {error} The checkpoint before it, {previous.name}, is used instead.")
    if file.suffix != ".ckpt" or "step" not in info:
        raise ZooError(
            f"{path} holds a generator to sample from, but no training to resume: give a run's "
            "folder or one of its checkpoints, or another task, for example task=sample"
        )
    return file, info


def ends_run(file: Path, info: dict[str, Any]) -> bool:
    """Whether a checkpoint is the latest in its folder, so that resuming it there replaces none."""
    from zoo.inference.files import read

    last = file.with_name("last.ckpt")
    if not last.is_file() or last.samefile(file):
        return True
    try:
        return read(last)[0].get("images_seen", 0) <= info.get("images_seen", 0)
    except ZooError:  # the last one is damaged: only the one before it is known to be the latest
        return file.name == "previous.ckpt"


def check_no_links(folder: Path) -> None:
    """Refuse a run's folder with links through which a training would write to other places.

    The folder may come from somebody else. Links between its own files, such as those that W&B
    makes, are allowed.

    Raises:
        ZooError: the folder contains a link that leads out of it, or something that is neither a
            file nor a folder.
    """
    own = Path(os.path.realpath(folder))
    for where, folders, files in os.walk(folder):
        inside = Path(where).relative_to(folder)
        if inside.match(_CLOSED):
            folders.clear()
            continue
        for name in (*folders, *files):
            path = Path(where, name)
            kind = path.lstat().st_mode
            if stat.S_ISLNK(kind) and Path(os.path.realpath(path)).is_relative_to(own):
                continue
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                what = "a link" if stat.S_ISLNK(kind) else "not a regular file"
                raise ZooError(
                    f"{path} is {what}, and a training that is resumed here could write elsewhere "
                    "through it: remove it, or choose another folder with hydra.run.dir=…"
                )


def check_no_training(folder: Path, resume: str | None) -> None:
    """Refuse a folder in which one training would replace another.

    Args:
        folder: where a training is about to be written.
        resume: the checkpoint that this training resumes; None for a new training.

    Raises:
        ZooError: the folder holds a training, and `resume` is not its latest checkpoint.
    """
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return
    if resume is None:
        raise ZooError(
            f"{folder} holds a training, which would be replaced: resume it with "
            f"{argument('resume', folder)}, or choose another folder with hydra.run.dir=…"
        )
    if Path(resume).is_file() and last.samefile(resume):
        return
    file, info = open_training(resume)
    if not (file.parent.samefile(last.parent) and ends_run(file, info)):
        raise ZooError(
            f"{last} would be replaced by a training that resumes {file}: choose another folder "
            "with hydra.run.dir=…"
        )


def check_no_sweep(folder: Path) -> None:
    """Refuse the folder of a sweep if its numbered folders already hold trainings.

    Raises:
        ZooError: they do.
    """
    if existing := sorted(folder.glob("[0-9]*/checkpoints/last.ckpt")):
        raise ZooError(
            f"{existing[0].parent.parent} holds a training, which would be replaced: choose "
            "another folder with hydra.sweep.dir=…"
        )


def _classes(info: dict[str, Any]) -> int:
    """The number of classes that the networks of a checkpoint are conditioned on, or 0."""
    parts = (info.get("generator"), info.get("discriminator"))
    options = [p.get("options") for p in parts if isinstance(p, dict)]
    return max((o.get("num_classes", 0) for o in options if isinstance(o, dict)), default=0)
