"""What `task=new` writes for what watches a generator: feature networks."""

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
        "python run.py task=evaluate ckpt=mnist features={name}",
    ),
}
