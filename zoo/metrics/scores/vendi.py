"""The Vendi score, the effective number of different images."""

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

    It is 1 for copies of a single image, and N for images that have nothing in common. It does not
    compare with real images; a note gives their own score.

    Papers: Friedman and Dieng (2023), arXiv:2210.02410; Pasarkar and Dieng (2023),
    arXiv:2310.12952, for q other than 1.

    Args:
        q: the order of the entropy; values below 1 give rare images more weight, values above 1
            less.
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
    """Return the Vendi score of vectors (N, D).

    It is exp(-Σ λ log λ), or (Σ λ^q)^(1/(1-q)) for orders q other than 1, where λ are the
    eigenvalues of K/N.
    """
    rows = F.normalize(vectors.double(), dim=1)
    # K = rows rowsᵀ and rowsᵀ rows have the same nonzero eigenvalues: take the smaller matrix.
    wide = rows.shape[1] > len(rows)
    values = torch.linalg.eigvalsh((rows @ rows.T if wide else rows.T @ rows) / len(rows))
    values = values[values > 1e-12 * values.max()]
    if math.isinf(q):
        return float(1 / values.max())
    if q == 1:
        return float((-(values * values.log()).sum()).exp())
    return float(values.pow(q).sum().pow(1 / (1 - q)))
