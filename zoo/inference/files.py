"""Read and write the files of trained networks.

A checkpoint holds, under the key `zoo`, the names and options of its parts and facts about the
data, as plain containers. A safetensors file holds the same as JSON in its header.
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
"""The data types of weights in safetensors files."""
PROGRAMS = (".onnx", ".pt2")
"""The endings of exported programs, which generate images but have no weights to read."""
WEIGHTS_NAME = "generator.safetensors"
"""The file of the weights in a published folder, next to `generator.json` with the description."""

_CHECKSUM = "sha256"
"""The key in the metadata for the checksum of description and tensors, which older files lack."""
_OS_ERROR = re.compile(r"\(os error (\d+)\)")
"""The part of a safetensors error message with the number of an operating system error."""


def read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read and check the description and the tensors of a `.ckpt` or `.safetensors` file.

    Every byte of a checkpoint is verified with the checksums that PyTorch stores in it, and its
    tensors take no more memory than their bytes on the disk.

    Raises:
        ZooError: the file is damaged, not from the zoo, of a newer format, or larger than the
            memory.
    """
    if file.suffix in PROGRAMS:
        raise ZooError(
            f"{file} is an exported generator: there is no training in it to resume or start from."
        )
    check_fits(file)
    if file.suffix == ".safetensors":
        return _read_safetensors(file)
    try:
        check_archive(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise ZooError(f"{file} cannot be read: permission denied.") from error
    except Exception as error:  # the readers of zip, pickle and tensors raise many types
        raise ZooError(
            f"{file} is damaged or not a checkpoint ({file.stat().st_size:,} bytes)."
        ) from error
    if not isinstance(content, dict) or "zoo" not in content or "state_dict" not in content:
        keys = listing(list(content)[:5]) if isinstance(content, dict) else type(content).__name__
        raise ZooError(
            f"{file} is a PyTorch file, but not a checkpoint of this zoo (it has: {keys})."
        )
    info = check_info(content["zoo"], file)
    return info, check_tensors(content["state_dict"], file)


def check_tensors(state: Any, file: Path) -> dict[str, Tensor]:
    """Check that `state` is a dictionary of plain tensors whose values the file really holds."""
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ZooError(f"{file} has a state_dict that is not a dictionary of tensors by name.")
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ZooError(f"{file} has {name[:100]} in its state_dict, which is not a tensor.")
    try:
        check_held(state, file.stat().st_size)
    except ValueError as error:
        raise ZooError(f"{file} has {error}.") from error
    return state


def _read_safetensors(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from safetensors import SafetensorError

    try:
        state, metadata = read_safetensors(file)
        text, stored = metadata.get("zoo"), metadata.get(_CHECKSUM)
        info = None if text is None else json.loads(text)
    except RecursionError as error:
        raise ZooError(f"{file} has a description that is nested too deeply.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise ZooError(f"{file} is damaged or not a safetensors file ({error}).") from error
    if stored is not None and stored != checksum(text or "", state):
        raise ZooError(
            f"{file} is damaged: its tensors or its description do not match its checksum."
        )
    if info is None:
        raise ZooError(f"{file} is a safetensors file, but not of this zoo (no 'zoo' metadata).")
    return check_info(info, file), check_tensors(state, file)


def write_generator(
    file: Path, info: dict[str, Any], state: dict[str, Tensor], dtype: str = "fp32"
) -> None:
    """Write a generator as `.safetensors`, and its description also as `.json` next to it.

    Args:
        file: the file to write.
        info: the description, with the kind of weights and of batch-norm statistics.
        state: the state dict of the generator.
        dtype: the data type of the stored weights, a name in `DTYPES`.
    """
    tensors = {}
    for name, value in state.items():
        stored = value.to(DTYPES[dtype]) if value.is_floating_point() else value
        tensors[f"generator.{name}"] = stored.cpu().contiguous().clone()
    text = json.dumps(info)
    metadata = {"format": "pt", "zoo": text, _CHECKSUM: checksum(text, tensors)}
    write_tensors(file, tensors, metadata)
    write_json(file.with_suffix(".json"), info)


def write_tensors(
    file: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors as `.safetensors`, completely or not at all.

    Raises:
        OSError: the disk is full, the folder cannot be written, or safetensors fails otherwise.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(file) as partial:
        partial.touch()
        # safetensors makes files that only this user can read; restore the default mode.
        mode = partial.stat().st_mode
        try:
            save_file({k: v.contiguous() for k, v in tensors.items()}, partial, metadata=metadata)
            partial.chmod(mode)
        except SafetensorError as error:
            if (match := _OS_ERROR.search(str(error))) is None:
                raise OSError(f"{file} cannot be written: {error}") from error
            number = int(match[1])
            raise OSError(number, os.strerror(number), str(file)) from error


def checksum(text: str, state: dict[str, Tensor]) -> str:
    """Return the SHA-256 of a description and of tensors' names, data types, shapes and values."""
    total = hashlib.sha256(text.encode())
    for name in sorted(state):
        value = state[name].contiguous()
        total.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        total.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
