"""What `task=new` writes for what watches a generator: feature networks, metrics."""

from __future__ import annotations

from zoo.tasks.templates.form import templates

MEASURES = {
    "features": templates(
        "features",
        '''
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from zoo import Features, features


@features("$name")
class $Class(Features):
    """$doc

    Args:
        side: images are averaged to side x side pixels, whose values are the features.
    """

    white: Tensor

    def __init__(self, side: int = 8) -> None:
        super().__init__()
        self.name = "$name"
        self.resizer = f"averaged to {side}"
        self.side = side
        self.register_buffer("white", torch.tensor(255.0))
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Map uint8 images (N, C, H, W) to features (N, D); a classifier also gives logits."""
        return adaptive_avg_pool2d(images / self.white, self.side).flatten(1), None
''',
        """
import torch

import zoo


def test_a_feature_is_a_mean_of_pixels():
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    images[:, :, :4, :4] = 255
    vectors, logits = zoo.create("features", "$name", side=2)(images)
    assert vectors.tolist() == [[1, 0, 0, 0]] * 2
    assert logits is None
""",
        "{program} task=evaluate ckpt=mnist features={name}",
    ),
    "metric": templates(
        "metric",
        '''
from typing import Any

from zoo import Metric, metric


@metric("$name")
class $Class(Metric):
    """$doc

    The distance of the mean features of generated and real images.

    Args:
        power: p of the norm.
    """

    def __init__(self, power: float = 2.0) -> None:
        self.power = power

    def __call__(self, data: Any) -> dict[str, float]:
        """Of features (N, D) and (M, D); `zoo/metrics/comparison.py` says what else there is."""
        gap = data.vectors.mean(dim=0) - data.reference_vectors.mean(dim=0)
        return {"$name": gap.norm(p=self.power).item()}
''',
        """
from types import SimpleNamespace

import pytest
import torch

import zoo


def test_value_on_known_features():
    data = SimpleNamespace(
        vectors=torch.tensor([[3.0, 0.0], [3.0, 8.0]]), reference_vectors=torch.zeros(5, 2)
    )
    assert zoo.create("metric", "$name")(data) == {"$name": pytest.approx(5.0)}
    assert zoo.create("metric", "$name", power=1.0)(data) == {"$name": pytest.approx(7.0)}
""",
        "{program} task=evaluate ckpt=mnist 'metrics=[{name}]'",
    ),
}
