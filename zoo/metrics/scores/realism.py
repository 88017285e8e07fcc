"""The realism score of generated images, with a gallery of the best and the worst."""

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
    """How far within the real images each generated one lies: max_r radius(r) / d(g, r).

    The radius of a real image is the distance to its k-th nearest real neighbour; the half of the
    real images with the largest radii, which lie in sparse regions, is ignored. A score of 1 or
    more means that a generated image lies within. `realism` is the median score, `realistic` the
    share within. The most and the least realistic images are shown.

    Paper: Kynkäänniemi et al. (2019), arXiv:1904.06991.

    Args:
        nearest: the number k of the neighbour that determines the radius.
        images: the most real images to use, drawn at random if there are more.
        shown: the number of most and of least realistic images to show.
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
    """Return the realism score (N,) in float64 of each generated vector.

    Args:
        generated: the generated vectors (N, D).
        reference: the reference vectors (M, D).
        nearest: the number of the neighbour that determines the radius.
        all_radii: whether to keep reference vectors with a radius above the median.
    """
    generated, reference = exact(generated), exact(reference)
    radii = torch.cat(
        [
            # One more neighbour, since each vector is its own nearest one.
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
