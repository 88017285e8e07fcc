"""Features of reference images, kept on disk between runs.

The folder is `features` in `zoo.core.cache.cache_dir()`. A file's name is a hash of all that the
features depend on: the images themselves, the network, its weights and its resizer.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoo.core.cache import cache_dir
from zoo.core.errors import ZooWarning
from zoo.core.foreign import check_file
from zoo.inference.files import checksum, write_tensors
from zoo.layers.pretrained import tensors_hash
from zoo.metrics.features.base import Features, extract

FORMAT = 2
_CHECKSUM = "sha256"
"""The metadata's key for the checksum of the features (`zoo.inference.files.checksum`)."""


def images_hash(images: Tensor) -> str:
    """The first 12 hex digits of a hash of uint8 images: type, shape and pixels."""
    return tensors_hash([("images", images)])


def cache_path(network: Features, data_hash: str) -> Path:
    """The file that holds the features of the images with hash `data_hash`."""
    key = [FORMAT, data_hash, *network.identity]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    return cache_dir() / "features" / f"{digest}.safetensors"


def reference_features(
    network: Features,
    images: Tensor,
    batch_size: int = 500,
    progress: bool = False,
    data_hash: str | None = None,
) -> Tensor:
    """Features (N, D) of uint8 images (N, C, H, W), from the cache where it has them.

    A damaged file is replaced, and a folder that cannot be written costs time, not the result.

    Args:
        data_hash: of the images, where it is known.
    """
    path = cache_path(network, data_hash or images_hash(images))
    stored = _read(path)
    if stored is not None and len(stored) == len(images):
        return stored
    vectors, _ = extract(network, images, batch_size, "reference features" if progress else None)
    tensors = {"features": vectors.to(torch.float32)}
    try:
        write_tensors(path, tensors, {_CHECKSUM: checksum("", tensors)})
    except OSError as error:
        warnings.warn(
            f"reference features are not kept in {path.parent}: {error}", ZooWarning, stacklevel=2
        )
    return vectors


def _read(path: Path) -> Tensor | None:
    """The features in a file; None where there are none, or where they are not as written."""
    try:
        check_file(path)
        with safe_open(path, framework="pt") as content:
            kept = (content.metadata() or {}).get(_CHECKSUM)
            features: Tensor = content.get_tensor("features")
    except (OSError, SafetensorError):
        return None
    if features.dim() != 2 or features.dtype != torch.float32:
        return None
    return features if kept == checksum("", {"features": features}) else None
