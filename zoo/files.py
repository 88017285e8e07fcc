"""Files of trained networks: where they are, and what stands in them.

A checkpoint holds under the key `zoo` the names and options of its parts and what is to be known
of the data, as plain containers; a safetensors file holds the same as JSON in its header.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError, listing, suggest

FORMAT = 1
"""Of the description; raised when old files could no longer be understood."""
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""In which safetensors files hold weights."""
PRETRAINED = Path(__file__).with_name("pretrained")
WEIGHTS_NAME = "generator.safetensors"
"""The weights in a published folder; `generator.json` beside it repeats the description."""


def pretrained_names() -> list[str]:
    """The names of the models that come with the zoo."""
    return sorted(p.parent.name for p in PRETRAINED.glob(f"*/{WEIGHTS_NAME}"))


def locate(path: str | os.PathLike[str]) -> Path:
    """The file that `load` reads for a path, a run's folder or a name.

    Raises:
        ZooError: there is none; the sentence shows the nearest ones.
    """
    text = os.fspath(path)
    if text.startswith("hf:"):
        from zoo.hub import fetch

        return fetch(text[3:])
    if text in pretrained_names():
        return PRETRAINED / text / WEIGHTS_NAME
    file = Path(text).expanduser()
    if file.is_file():
        return file
    if file.is_dir():
        for inside in ("checkpoints/last.ckpt", "last.ckpt", WEIGHTS_NAME):
            if (file / inside).is_file():
                return file / inside
        raise ZooError(
            f"the folder {file} holds no checkpoint (looked for checkpoints/last.ckpt, last.ckpt "
            f"and {WEIGHTS_NAME}).{_nearest(file)}"
        )
    raise ZooError(
        f"there is no checkpoint at {text!r}.{suggest(text, pretrained_names())}{_nearest(file)} "
        f"Models that come with the zoo: {listing(pretrained_names())}."
    )


def _nearest(missing: Path) -> str:
    """A sentence with the checkpoints closest to a path that is not there."""
    folder = missing.absolute()
    while not folder.is_dir():
        folder = folder.parent
    found: list[str] = []
    visited = 0
    for where, folders, files in os.walk(folder):
        depth = len(Path(where).relative_to(folder).parts)
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if depth < 5 else []
        found += [os.path.join(where, f) for f in files if f.endswith((".ckpt", ".safetensors"))]
        visited += 1 + len(files)
        if visited > 5000:  # enough to help; a whole disk would take minutes
            break
    if not found:
        return f" The folder {folder} exists, without a checkpoint below it."
    wanted = str(missing.absolute())
    found.sort(key=lambda f: -difflib.SequenceMatcher(None, wanted, f).ratio())
    return f" Nearest: {listing(os.path.relpath(f) for f in found[:3])}."


def read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors of a `.ckpt` or `.safetensors` file, checked.

    Raises:
        ZooError: the file is damaged, foreign, or of a newer format.
    """
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise ZooError(f"{file} cannot be read: permission denied.") from error
    except Exception as error:  # zip, pickle and tensor readers raise a dozen types
        raise ZooError(
            f"{file} is damaged or no checkpoint ({file.stat().st_size:,} bytes)."
        ) from error
    if not isinstance(content, dict) or "zoo" not in content or "state_dict" not in content:
        keys = listing(list(content)[:5]) if isinstance(content, dict) else type(content).__name__
        raise ZooError(f"{file} is a PyTorch file, but no checkpoint of this zoo (it has: {keys}).")
    return check_info(content["zoo"], file), content["state_dict"]


def _read_safetensors(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="pt") as content:
            text = (content.metadata() or {}).get("zoo")
            state = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118
        info = None if text is None else json.loads(text)
    except (SafetensorError, OSError, ValueError) as error:
        raise ZooError(f"{file} is damaged or no safetensors file ({error}).") from error
    if info is None:
        raise ZooError(f"{file} is a safetensors file, but not of this zoo (no 'zoo' metadata).")
    return check_info(info, file), state


def check_info(info: Any, file: Path) -> dict[str, Any]:
    """Refuse a description that cannot be one, or that a newer zoo wrote."""
    version = info.get("format") if isinstance(info, dict) else None
    if not isinstance(version, int):
        raise ZooError(f"{file} has a description that this zoo cannot read.")
    if version > FORMAT:
        raise ZooError(
            f"{file} has format {version}, written by zoo {info.get('version')}; this zoo reads "
            f"up to format {FORMAT}: update it."
        )
    generator, data = info.get("generator"), info.get("data")
    if not isinstance(data, dict) or not is_spec(generator):
        raise ZooError(f"{file} has a description without its generator or its data.")
    seen, weights = info.get("images_seen", 0), info.get("weights", "raw")
    if type(seen) is not int or seen < 0:
        raise ZooError(f"{file} has images_seen={seen} in its description, which must be a count.")
    if weights not in ("ema", "raw"):
        raise ZooError(f"{file} has weights={weights} in its description: it must be ema or raw.")
    return info


def is_spec(spec: Any) -> bool:
    """Whether it names a part: `{"name": ..., "options": {...}}`."""
    return (
        isinstance(spec, dict)
        and isinstance(spec.get("name"), str)
        and isinstance(spec.get("options"), dict)
    )
