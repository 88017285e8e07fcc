"""Files of trained networks: where they are, and what stands in them.

A checkpoint holds under the key `zoo` the names and options of its parts and what is to be known
of the data, as plain containers; a safetensors file holds the same as JSON in its header.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.core.errors import ZooError, listing

FORMAT = 1
"""Of the description; raised when old files could no longer be understood."""
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""In which safetensors files hold weights."""
WEIGHTS_NAME = "generator.safetensors"
"""The weights in a published folder; `generator.json` beside it repeats the description."""


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


def write_generator(
    file: Path, info: dict[str, Any], state: dict[str, Tensor], dtype: str = "fp32"
) -> None:
    """Write the tensors of a generator as `.safetensors`, and its description also beside it.

    Args:
        info: the description, with the kind of weights and of batch-norm statistics.
        state: of the generator.
        dtype: in which weights are stored, a name in `DTYPES`.
    """
    from safetensors.torch import save_file

    tensors = {}
    for name, value in state.items():
        kept = value.to(DTYPES[dtype]) if value.is_floating_point() else value
        tensors[f"generator.{name}"] = kept.cpu().contiguous().clone()
    save_file(tensors, file, metadata={"format": "pt", "zoo": json.dumps(info)})
    file.with_suffix(".json").write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")


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
