"""The Vendi score: how many different images there effectively are."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.metrics.comparison import Comparison
from zoo.metrics.scores.base import Metric
from zoo.registry import above, metric


@metric("vendi")
class Vendi(Metric):
    """exp of the entropy of the eigenvalues of K/N, K the cosine similarities of the features.

    1 for copies of one image, N for images that have nothing in common. It knows no reference: the
    note says what the real images reach.

    Papers: Friedman and Dieng (2023), arXiv:2210.02410; Pasarkar and Dieng (2023),
    arXiv:2310.12952, for q other than 1.

    Args:
        q: the order of the entropy; below 1 rare images count more, above 1 less.
    """

    figures = ("vendi",)
    higher_is_better = ("vendi",)
    order = 130

    def __init__(self, q: Annotated[float, above(0)] = 1.0) -> None:
        self.q = q

    def settings(self) -> str:
        return f"Vendi score of order {self.q:g}"

    def __call__(self, data: Comparison) -> dict[str, float]:
        real = vendi_score(data.reference_vectors, self.q)
        data.notes.append(
            f"The Vendi score of the {len(data.reference_vectors):,} real images is {real:.4g}."
        )
        return {"vendi": vendi_score(data.vectors, self.q)}


def vendi_score(vectors: Tensor, q: float = 1.0) -> float:
    """The Vendi score of vectors (N, D).

    exp(-Σ λ log λ), or (Σ λ^q)^(1/(1-q)) for other orders than 1, λ the eigenvalues of K/N.
    """
    rows = F.normalize(vectors.double(), dim=1)
    # the N x N matrix of similarities has the eigenvalues of the smaller of two products
    wide = rows.shape[1] > len(rows)
    values = torch.linalg.eigvalsh((rows @ rows.T if wide else rows.T @ rows) / len(rows))
    values = values[values > 1e-12 * values.max()]
    if math.isinf(q):
        return float(1 / values.max())
    if q == 1:
        return float((-(values * values.log()).sum()).exp())
    return float(values.pow(q).sum().pow(1 / (1 - q)))
