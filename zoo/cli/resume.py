"""Continuing a training on the command line: whose settings hold, and where it goes on."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from zoo.cli.grammar import argument, key_of, quote, value_of
from zoo.cli.replay import is_sweep, old_values, overrides_of
from zoo.cli.settings import checked, is_own
from zoo.core.errors import ZooError

ONLY_TELLS = "traceback"
"""The preset of `debug` under which a training is what it is otherwise."""
_CLOSED = "wandb/*run-*"
"""Folders of a run into which nothing is written later: W&B makes one at each start, with a link to
a log in its own cache."""


def continue_run(arguments: list[str], config_dir: str | None = None) -> list[str]:
    """For `resume=` (or `ckpt=`) in training: the run's own settings first, then the new ones.

    The end of a run goes on in its own folder, unless `hydra.run.dir` says otherwise. An earlier
    checkpoint goes on in a new one, where it replaces nothing, and so do the runs of a sweep and
    those of a preset of `debug`.

    Raises:
        ZooError: no such file, no training to continue, or settings that a file may not bring.
    """
    task = value_of(arguments, "task") or "train"
    path = value_of(arguments, "resume") or (
        value_of(arguments, "ckpt") if task == "train" else None
    )
    for key in ("resume", "model.start"):
        if value_of(arguments, key) == "":  # of a shell's variable that was never set
            raise ZooError(f"{key}= names no run: give {key}=outputs/train/RUN, or leave it out.")
    if task != "train" or not path or path == "null":
        return arguments
    sweep = "-m" in arguments or "--multirun" in arguments
    if sweep and any(key_of(a) in ("resume", "ckpt") and is_sweep(a) for a in arguments):
        raise ZooError(
            f"resume={path} names several checkpoints, each with settings of its own: continue "
            "them one after the other."
        )
    file, info = open_training(path)
    given = [a for a in arguments if ("=" in a or a.startswith("~")) and not a.startswith("-")]
    kept = _kept(file, info, given, config_dir)
    folder = file.parent.parent
    mine = {key_of(a) for a in arguments}
    if not _classes(info) and "model.conditional" not in mine | set(map(key_of, kept)):
        kept.append("model.conditional=false")  # older versions took labels only where asked to
    if (
        not sweep
        and "hydra.run.dir" not in mine
        and value_of(given, "debug") in (None, "null", ONLY_TELLS)
        and (folder / ".hydra").is_dir()
        and ends_run(file, info)
    ):
        check_no_links(folder)
        kept.append(f"hydra.run.dir={quote(str(folder))}")
    # Beside the first override: no flag may come between them.
    first = next(i for i, a in enumerate(arguments) if "=" in a and not a.startswith("-"))
    rest = [a for a in arguments[first:] if key_of(a) not in ("resume", "ckpt")]
    return [*arguments[:first], *kept, f"resume={quote(str(file))}", *rest]


def _kept(file: Path, info: dict[str, Any], given: list[str], config_dir: str | None) -> list[str]:
    """The settings that a checkpoint brings, as overrides, without those given anew."""
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
    """The absolute path of a checkpoint, or of a run's last one, and its description.

    Raises:
        ZooError: there is none, or it is an exported or published generator.
    """
    from zoo.inference.files import read
    from zoo.inference.locate import locate

    file = locate(path).absolute()
    before = file.with_name("previous.ckpt")
    try:
        info, _ = read(file)
    except ZooError as error:
        if file.name != "last.ckpt" or not before.is_file():
            raise
        file, (info, _) = before, read(before)
        print(f"note: {error} The one before it, {before.name}, is taken.")
    if file.suffix != ".ckpt" or "step" not in info:
        raise ZooError(
            f"{file} holds a generator to sample from, but no training to continue: give a "
            "run's folder or one of its checkpoints, or another task, for example task=sample"
        )
    return file, info


def ends_run(file: Path, info: dict[str, Any]) -> bool:
    """Whether continuing a checkpoint in its own folder replaces no later one."""
    from zoo.inference.files import read

    last = file.with_name("last.ckpt")
    if not last.is_file() or last.samefile(file):
        return True
    try:
        return read(last)[0].get("images_seen", 0) <= info.get("images_seen", 0)
    except ZooError:  # damaged: whether it is later can be told of the one before it alone
        return file.name == "previous.ckpt"


def check_no_links(folder: Path) -> None:
    """Refuse a run's folder, perhaps from somebody else, through which files elsewhere are written.

    Links between its own files, as W&B makes them, stay inside.

    Raises:
        ZooError: something in it is a link that leads out of it, or neither file nor folder.
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
                what = "a link" if stat.S_ISLNK(kind) else "no file"
                raise ZooError(
                    f"{path} is {what}, and a training that goes on here could write elsewhere "
                    "through it: remove it, or choose another folder with hydra.run.dir=…"
                )


def check_no_training(folder: Path, resume: str | None) -> None:
    """Refuse the folder of a run whose training would be replaced by another.

    Args:
        folder: where a training is about to be written.
        resume: the checkpoint that it continues.

    Raises:
        ZooError: the folder holds a training of which `resume` is not the end.
    """
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        return
    if resume is None:
        raise ZooError(
            f"{folder} holds a training, which would be replaced: continue it with "
            f"{argument('resume', folder)}, or choose another folder with hydra.run.dir=…"
        )
    if Path(resume).is_file() and last.samefile(resume):
        return
    file, info = open_training(resume)
    if not (file.parent.samefile(last.parent) and ends_run(file, info)):
        raise ZooError(
            f"{last} would be replaced by a training that continues {file}: choose another folder "
            "with hydra.run.dir=…"
        )


def check_no_sweep(folder: Path) -> None:
    """Refuse the folder of a sweep whose trainings, in folders by number, would be replaced.

    Raises:
        ZooError: there are some.
    """
    if found := sorted(folder.glob("[0-9]*/checkpoints/last.ckpt")):
        raise ZooError(
            f"{found[0].parent.parent} holds a training, which would be replaced: choose another "
            "folder with hydra.sweep.dir=…"
        )


def _classes(info: dict[str, Any]) -> int:
    """How many classes the networks of a checkpoint tell apart; 0 for none."""
    parts = (info.get("generator"), info.get("discriminator"))
    options = [p.get("options") for p in parts if isinstance(p, dict)]
    return max((o.get("num_classes", 0) for o in options if isinstance(o, dict)), default=0)
