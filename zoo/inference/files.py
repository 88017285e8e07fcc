"""Files of trained networks: where they are, and what stands in them.

A checkpoint holds under the key `zoo` the names and options of its parts and what is to be known
of the data, as plain containers; a safetensors file holds the same as JSON in its header.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.core.atomic import replacing, write_json
from zoo.core.errors import ZooError, listing
from zoo.core.memory import check_fits
from zoo.core.tensors import check_archive, check_held, read_safetensors
from zoo.inference.describe import check_info

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""The types in which safetensors files hold weights."""
WEIGHTS_NAME = "generator.safetensors"
"""The weights in a published folder; `generator.json` beside it repeats the description."""

_CHECKSUM = "sha256"
"""The metadata's key for the checksum of description and tensors, which older files lack."""
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""The part of an error of safetensors that tells an error of the system."""


def read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors of a `.ckpt` or `.safetensors` file, checked.

    Every byte of a checkpoint is held against the checksums that PyTorch writes beside it, and none
    of it takes more memory than its bytes on the disk.

    Raises:
        ZooError: the file is damaged, foreign, or of a newer format; or larger than the memory.
    """
    check_fits(file)
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    try:
        check_archive(file)
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
    info = check_info(content["zoo"], file)
    return info, check_tensors(content["state_dict"], file)


def check_tensors(state: Any, file: Path) -> dict[str, Tensor]:
    """Refuse what is no dictionary of plain tensors, each with its values in the file."""
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ZooError(f"{file} has a state_dict that is no dictionary of tensors by name.")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ZooError(f"{file} has {name[:100]} in its state_dict, which is no tensor.")
    try:
        check_held(state, file.stat().st_size)
    except ValueError as error:
        raise ZooError(f"{file} has {error}.") from error
    return state


def _read_safetensors(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError

    try:
        state, metadata = read_safetensors(file)
        text, kept = metadata.get("zoo"), metadata.get(_CHECKSUM)
        info = None if text is None else json.loads(text)
    except RecursionError as error:
        raise ZooError(f"{file} has a description that is nested too deep.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ZooError(f"{file} is damaged or no safetensors file ({error}).") from error
    if kept is not None and kept != checksum(text or "", state):
        raise ZooError(f"{file} is damaged: its tensors or its description are not as written.")
    if info is None:
        raise ZooError(f"{file} is a safetensors file, but not of this zoo (no 'zoo' metadata).")
    return check_info(info, file), check_tensors(state, file)


def write_generator(
    file: Path, info: dict[str, Any], state: dict[str, Tensor], dtype: str = "fp32"
) -> None:
    """Write the tensors of a generator as `.safetensors`, and its description also beside it.

    Args:
        info: the description, with the kind of weights and of batch-norm statistics.
        state: of the generator.
        dtype: in which weights are stored, a name in `DTYPES`.
    """
    tensors = {}
    for name, value in state.items():
        kept = value.to(DTYPES[dtype]) if value.is_floating_point() else value
        tensors[f"generator.{name}"] = kept.cpu().contiguous().clone()
    text = json.dumps(info)
    metadata = {"format": "pt", "zoo": text, _CHECKSUM: checksum(text, tensors)}
    write_tensors(file, tensors, metadata)
    write_json(file.with_suffix(".json"), info)


def write_tensors(
    file: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as `.safetensors`, whole or not at all.

    Raises:
        OSError: the disk is full, the folder cannot be written, or safetensors fails otherwise.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(file) as partial:
        partial.touch()
        readers = partial.stat().st_mode  # as of any new file; safetensors' are for this user alone
        try:
            save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata=metadata)
            partial.chmod(readers)
        except SafetensorError as error:
            if (found := _OS_ERROR.search(str(error))) is None:
                raise OSError(f"{file} cannot be written: {error}") from error
            number = int(found[1])
            raise OSError(number, os.strerror(number), str(file)) from error


def checksum(text: str, state: dict[str, Tensor]) -> str:
    """SHA-256 of a description and of the names, kinds, shapes and values of tensors."""
    total = hashlib.sha256(text.encode())
    for name in sorted(state):
        value = state[name].contiguous()
        total.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        total.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
