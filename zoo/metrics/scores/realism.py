"""The realism score of each generated image, and the best and the worst of them as a picture."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.core.errors import TooFewError
from zoo.metrics.comparison import Comparison
from zoo.metrics.distances import BLOCK, exact, random_rows
from zoo.metrics.scores.base import Metric
from zoo.registry import at_least, metric


@metric("realism")
class Realism(Metric):
    """How far inside the real images each generated one lies: max_r radius(r) / d(g, r).

    The radius of a real image is the distance to its k-th neighbour among real ones; the half with
    the largest radii, which lie where nothing is, is left out. 1 and more is inside. `realism` is
    the median, `realistic` the share inside; the most and the least realistic images are shown.

    Paper: Kynkäänniemi et al. (2019), arXiv:1904.06991.

    Args:
        nearest: k.
        images: real ones at most, drawn at random.
        shown: images of either end.
    """

    figures = ("realism", "realistic")
    higher_is_better = ("realism", "realistic")
    order = 45

    def __init__(
        self,
        nearest: Annotated[int, at_least(1)] = 3,
        images: Annotated[int, at_least(1)] = 10_000,
        shown: Annotated[int, at_least(1)] = 32,
    ) -> None:
        self.nearest = nearest
        self.images = images
        self.shown = shown

    def settings(self) -> str:
        return f"realism by neighbour {self.nearest} of up to {self.images:,} real images"

    def __call__(self, data: Comparison) -> dict[str, float]:
        rows = random_rows(self.images, len(data.reference_vectors), data.seed)
        if len(rows) <= self.nearest:
            raise TooFewError(f"metric realism needs more than {self.nearest} real images.")
        scores = realism(data.vectors, data.reference_vectors[rows], self.nearest)
        order = scores.argsort(descending=True)
        count = min(self.shown, len(order))
        data.galleries["realism"] = {
            "most realistic": data.images[order[:count]],
            "least realistic": data.images[order[len(order) - count :].flip(0)],
        }
        inside = (scores >= 1).double().mean().item()
        return {"realism": scores.median().item(), "realistic": inside}


def realism(
    generated: Tensor, reference: Tensor, nearest: int = 3, all_radii: bool = False
) -> Tensor:
    """The score of each vector (N, D) beside reference vectors (M, D), (N,) in float64.

    Args:
        all_radii: also those above the median.
    """
    generated, reference = exact(generated), exact(reference)
    radii = torch.cat(
        [
            # one more than asked, since each is its own nearest neighbour
            torch.cdist(block, reference).topk(nearest + 1, largest=False).values[:, -1]
            for block in reference.split(BLOCK)
        ]
    )
    kept = torch.ones_like(radii, dtype=torch.bool)
    if not all_radii:
        kept = radii <= radii.quantile(0.5)
    inside = [
        (radii[kept] / torch.cdist(block, reference[kept]).clamp(min=1e-12)).max(dim=1).values
        for block in generated.split(BLOCK)
    ]
    return torch.cat(inside).double()
