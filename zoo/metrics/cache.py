"""A cache that keeps the features of reference images on disk between runs.

It is the folder `features` in `zoo.core.cache.cache_dir()`. The name of a file is a hash of
everything that the features depend on: the images, the network, its weights and its resizer.
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
"""The metadata key for the checksum of the features (`zoo.inference.files.checksum`)."""


def images_hash(images: Tensor) -> str:
    """Return the first 12 hex digits of a hash of uint8 images: dtype, shape and pixels."""
    return tensors_hash([("images", images)])


def cache_path(network: Features, data_hash: str) -> Path:
    """Return the path for the features of the images with hash `data_hash`."""
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
    """Return features (N, D) of uint8 images (N, C, H, W), from the cache if it has them.

    A damaged file is replaced. If the folder cannot be written, there is only a warning.

    Args:
        network: the feature network.
        images: the images.
        batch_size: the number of images in a batch.
        progress: whether to show a progress bar.
        data_hash: the hash of the images; None to compute it.
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
            f"reference features could not be cached in {path.parent}: {error}",
            ZooWarning,
            stacklevel=2,
        )
    return vectors


def _read(path: Path) -> Tensor | None:
    """Read the features in a file; None if it is missing, damaged or has a wrong checksum."""
    try:
        check_file(path)
        with safe_open(path, framework="pt") as content:
            stored_checksum = (content.metadata() or {}).get(_CHECKSUM)
            features: Tensor = content.get_tensor("features")
    except (OSError, SafetensorError):
        return None
    if features.dim() != 2 or features.dtype != torch.float32:
        return None
    return features if stored_checksum == checksum("", {"features": features}) else None
