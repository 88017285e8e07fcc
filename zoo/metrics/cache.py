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
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo.core.cache import cache_dir
from zoo.inference.files import write_tensors
from zoo.layers.pretrained import tensors_hash
from zoo.metrics.features.base import Features, extract

FORMAT = 1


def images_hash(images: Tensor) -> str:
    """The first 12 hex digits of a hash of uint8 images: type, shape and pixels."""
    return tensors_hash([("images", images)])


def cache_path(network: Features, data_hash: str) -> Path:
    """The file that holds the features of the images with hash `data_hash`."""
    key = [FORMAT, data_hash, network.name, network.weights_hash, network.resizer]
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
    try:
        write_tensors(path, {"features": vectors.to(torch.float32)})
    except OSError as error:
        warnings.warn(f"reference features are not kept in {path.parent}: {error}", stacklevel=2)
    return vectors


def _read(path: Path) -> Tensor | None:
    try:
        return load_file(path)["features"]
    except (OSError, SafetensorError, KeyError):
        return None
