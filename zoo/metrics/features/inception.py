"""The feature network `inception`, the Inception-v3 of the original FID, from torch-fidelity."""

from __future__ import annotations

import io
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.layers.pretrained import file_hash, read_weights, weights_file
from zoo.metrics.features.base import Features, as_rgb, offline_choices
from zoo.registry import features

_WHO = "features=inception"
"""The beginning of error messages. The path of the weights may come from several options."""


@features("inception")
class InceptionFeatures(Features):
    """The 2048 pooled features and the unbiased logits of Inception-v3 (2015-12-05).

    Paper: Szegedy et al. (2016), arXiv:1512.00567.

    Args:
        weights: torch-fidelity's weight file; None takes it from torch's hub folder, or
            downloads it there.

    Raises:
        ZooError: the weights cannot be loaded or downloaded, or are those of another network.
    """

    classes = 1008
    general: ClassVar[int | None] = 20

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        path = Path(weights).expanduser() if weights else _downloaded()
        if not path.is_file():
            raise ZooError(f"{_WHO}: there is no weight file {path}.")
        # torch-fidelity unpickles without restrictions, so it gets a copy of what was read safely.
        harmless = io.BytesIO()
        torch.save(read_weights(path, _WHO), harmless)
        harmless.seek(0)
        try:
            self.network = FeatureExtractorInceptionV3(
                "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=harmless
            )
        except RuntimeError as error:
            raise ZooError(
                f"{_WHO}: {path} does not hold the weights of torch-fidelity's Inception-v3."
            ) from error
        self.name = "inception"
        self.weights_hash = file_hash(path)
        self.resizer = "bilinear as in TensorFlow 1 to 299"
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        vectors, logits = self.network(as_rgb(images))
        return vectors, logits


def _downloaded() -> Path:
    """Return the weight file in torch's hub folder, downloading it if it is missing."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return weights_file(
        _WHO,
        URL_INCEPTION_V3,
        "6726825d",
        option="features_weights=PATH to task=evaluate",
        otherwise=f"; {offline_choices()}",
    )
