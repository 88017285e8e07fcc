"""How far a set of generated feature vectors is from a reference set: FID, KID, IS, PRDC.

Vectors are float32 (N, D), logits float32 (N, K), both on the CPU. torch-fidelity computes what it
has; density and coverage are computed here.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_features_to_statistics,
    fid_statistics_to_metric,
)
from torch_fidelity.metric_kid import (
    KEY_METRIC_KID_MEAN,
    KEY_METRIC_KID_STD,
    kid_features_to_metric,
)
from torch_fidelity.metric_prc import (
    KEY_METRIC_PRECISION,
    KEY_METRIC_RECALL,
    prc_features_to_metric,
)

from zoo.core.errors import TooFewError

BLOCK = 2000
"""Rows of a distance matrix held at a time."""
NARROW = 32
"""Dimensions up to which distances are computed in float64: a matrix product in float32 gives those
between close points, of the plane for instance, with no digit right."""
SEEDS = 2**32
"""How many seeds NumPy's random numbers know; the zoo's seeds go up to 2^63 - 1."""


def exact(vectors: Tensor) -> Tensor:
    """Vectors (N, D) in the precision that their distances ask for."""
    return vectors.double() if vectors.shape[1] <= NARROW else vectors


class Moments(TypedDict):
    """Mean (D,) and covariance (D, D) in float64."""

    mu: np.ndarray
    sigma: np.ndarray


class Estimate(NamedTuple):
    """A mean over subsets or splits, and the standard deviation between them."""

    mean: float
    std: float


def moments(vectors: Tensor) -> Moments:
    """Mean and covariance of vectors (N, D), N of 2 or more."""
    if len(vectors) < 2:
        raise TooFewError(f"a covariance needs 2 or more images, there are {len(vectors)}.")
    return fid_features_to_statistics(vectors.double())


def frechet_distance(generated: Tensor | Moments, reference: Tensor | Moments) -> float:
    """Fréchet distance of two Gaussians, |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½): FID.

    Paper: Heusel et al. (2017), arXiv:1706.08500.
    """
    both = [moments(side) if isinstance(side, Tensor) else side for side in (generated, reference)]
    distance = fid_statistics_to_metric(*both, verbose=False)[KEY_METRIC_FID]
    return max(distance, 0.0)  # rounding takes that of equal sides below 0


def singular_note(title: str, generated: Tensor, reference: Tensor) -> list[str]:
    """What a Fréchet distance of features (N, D) has to say where N is at most D on a side."""
    width = generated.shape[1]
    count = min(len(generated), len(reference))
    if count > width:
        return []
    return [
        f"{title} of {count} images in {width} dimensions: the covariance is singular and the "
        "figure strongly biased; use more images."
    ]


def kernel_distance(
    generated: Tensor, reference: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Estimate:
    """Unbiased squared MMD under the kernel (x·y/D + 1)³, over random subsets: KID.

    Subsets are no larger than the smaller set; where they hold all of both sets there is only one,
    and the deviation is NaN. Paper: Bińkowski et al. (2018), arXiv:1801.01401.
    """
    size = min(subset_size, len(generated), len(reference))
    if size < 2:
        raise TooFewError(f"KID needs 2 or more images on both sides, there is {size} on one.")
    alone = size == len(generated) == len(reference)
    result = kid_features_to_metric(
        generated.double(),
        reference.double(),
        kid_subsets=1 if alone else subsets,
        kid_subset_size=size,
        rng_seed=seed % SEEDS,
        verbose=False,
    )
    deviation = math.nan if alone else result[KEY_METRIC_KID_STD]
    return Estimate(result[KEY_METRIC_KID_MEAN], deviation)


def inception_score(logits: Tensor, splits: int = 10, seed: int = 0) -> Estimate:
    """exp E KL(p(y|x) ‖ p(y)) of class logits (N, K), over `splits` parts of a shuffled set.

    A part of one image scores 1 whatever it shows, so that N is twice `splits` at the least.
    Paper: Salimans et al. (2016), arXiv:1606.03498.
    """
    if len(logits) < 2 * splits:
        raise TooFewError(
            f"the Inception score of {splits} parts needs {2 * splits} or more images, there are "
            f"{len(logits)}."
        )
    order = np.random.RandomState(seed % SEEDS).permutation(len(logits))  # as torch-fidelity's
    log_p = logits.double()[torch.from_numpy(order).to(logits.device)].log_softmax(dim=1)
    ends = [i * len(log_p) // splits for i in range(splits + 1)]
    scores = []
    for start, end in itertools.pairwise(ends):
        part = log_p[start:end]
        mean = part.exp().mean(dim=0)
        # What underflows in all of them adds nothing, as p log p does in the limit.
        terms = torch.where(mean > 0, part.exp() * (part - mean.log()), 0.0)
        scores.append(terms.sum(dim=1).mean().exp().item())
    return Estimate(float(np.mean(scores)), float(np.std(scores)))


def precision_recall(generated: Tensor, reference: Tensor, nearest: int = 5) -> tuple[float, float]:
    """Share of each set inside the other's balls to the `nearest`-th neighbour.

    Paper: Kynkäänniemi et al. (2019), arXiv:1904.06991.
    """
    _enough(generated, reference, nearest)
    generated, reference = exact(generated), exact(reference)
    result = prc_features_to_metric(
        generated,
        reference,
        prc_neighborhood=nearest,
        prc_batch_size=BLOCK,
        save_cpu_ram=True,
        verbose=False,
    )
    return result[KEY_METRIC_PRECISION], result[KEY_METRIC_RECALL]


def density_coverage(generated: Tensor, reference: Tensor, nearest: int = 5) -> tuple[float, float]:
    """Real balls a generated image lies in, over `nearest`; share of real balls that hold one.

    Paper: Naeem et al. (2020), arXiv:2002.09797.
    """
    _enough(generated, reference, nearest)
    generated, reference = exact(generated), exact(reference)
    inside_count, covered = 0, 0
    for block in reference.split(BLOCK):
        # one more than asked, since each image is its own nearest neighbour
        closest = torch.cdist(block, reference).topk(nearest + 1, largest=False).values
        inside = torch.cdist(block, generated) < closest[:, -1:]
        inside_count += int(inside.sum())
        covered += int(inside.any(dim=1).sum())
    return inside_count / (nearest * len(generated)), covered / len(reference)


def nearest_rows(
    vectors: Tensor, among: Tensor, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Distance (N,) to and index (N,) of the nearest row of `among` (M, D) for each vector (N, D).

    Args:
        own: for each vector the row of `among` that does not count, because it is the vector.
    """
    given, vectors, among = vectors.dtype, exact(vectors), exact(among)
    squares = among.square().sum(dim=1)
    found = []
    for start in range(0, len(vectors), BLOCK // 4):
        block = vectors[start : start + BLOCK // 4]
        # |a - b|² without |a|², which changes no minimum
        part = torch.addmm(squares, block, among.T, alpha=-2)
        if own is not None:
            part[torch.arange(len(block)), own[start : start + len(block)]] = torch.inf
        found.append(part.argmin(dim=1))
    index = torch.cat(found)
    return (vectors - among[index]).norm(dim=1).to(given), index


def random_rows(count: int, total: int, seed: int) -> Tensor:
    """`count` of `total` row numbers drawn without repetition, in order; all if there are fewer."""
    if count >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count].sort()[0]


def _enough(generated: Tensor, reference: Tensor, nearest: int) -> None:
    if min(len(generated), len(reference)) <= nearest:
        raise TooFewError(
            f"neighbours up to the {nearest}th need more than {nearest} images: there are "
            f"{len(generated)} generated and {len(reference)} reference images."
        )
