"""Functions that compute FID, KID, the Inception score and PRDC from feature vectors.

Vectors are float32 (N, D) and logits float32 (N, K), both on the CPU. FID, KID, precision and
recall are computed by torch-fidelity, the others here.
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
"""The number of rows of a distance matrix that are in memory at a time."""
NARROW = 32
"""The number of dimensions up to which distances are computed in float64. In float32, the matrix
product makes distances between close points, for instance in the plane, entirely inexact."""
SEEDS = 2**32
"""The number of seeds that NumPy's random generators accept; the zoo's seeds go up to 2^63 - 1."""


def exact(vectors: Tensor) -> Tensor:
    """Return vectors (N, D) in the precision that their distances need."""
    return vectors.double() if vectors.shape[1] <= NARROW else vectors


class Moments(TypedDict):
    """The mean (D,) and covariance (D, D) of vectors in float64."""

    mu: np.ndarray
    sigma: np.ndarray


class Estimate(NamedTuple):
    """The mean over subsets or splits, and the standard deviation between them."""

    mean: float
    std: float


def moments(vectors: Tensor) -> Moments:
    """Return the mean and covariance of vectors (N, D), N of 2 or more."""
    if len(vectors) < 2:
        raise TooFewError(f"a covariance needs 2 or more images, but there are {len(vectors)}.")
    return fid_features_to_statistics(vectors.double())


def frechet_distance(generated: Tensor | Moments, reference: Tensor | Moments) -> float:
    """Return the FID, the Fréchet distance of two Gaussians.

    It is |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2(Σ₁Σ₂)^½).

    Paper: Heusel et al. (2017), arXiv:1706.08500.
    """
    both = [moments(side) if isinstance(side, Tensor) else side for side in (generated, reference)]
    distance = fid_statistics_to_metric(*both, verbose=False)[KEY_METRIC_FID]
    return max(distance, 0.0)  # rounding may make the distance of equal sides negative


def bias_note(title: str, generated: Tensor, reference: Tensor) -> list[str]:
    """Return a note if a Fréchet distance of vectors (N, D) is strongly biased by small N.

    For equal isotropic distributions, the bias is about D / (4 N) of their total variance.
    """
    width = generated.shape[1]
    count = min(len(generated), len(reference))
    subject = f"{title} of {count} images in {width} dimensions"
    if count <= width:
        return [
            f"{subject}: the covariance is singular and the value strongly biased; use more images."
        ]
    if count <= 4 * width:
        return [f"{subject} is biased upwards, since a covariance needs more images than that."]
    return []


def kernel_distance(
    generated: Tensor, reference: Tensor, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> Estimate:
    """Return the KID, the unbiased squared MMD under the kernel (x·y/D + 1)³ over random subsets.

    Subsets are no larger than the smaller set. If a subset would contain both sets completely,
    there is only one, and the deviation is NaN.

    Paper: Bińkowski et al. (2018), arXiv:1801.01401.
    """
    size = min(subset_size, len(generated), len(reference))
    if size < 2:
        raise TooFewError(f"KID needs 2 or more images on both sides, but one side has {size}.")
    single = size == len(generated) == len(reference)
    result = kid_features_to_metric(
        generated.double(),
        reference.double(),
        kid_subsets=1 if single else subsets,
        kid_subset_size=size,
        rng_seed=seed % SEEDS,
        verbose=False,
    )
    deviation = math.nan if single else result[KEY_METRIC_KID_STD]
    return Estimate(result[KEY_METRIC_KID_MEAN], deviation)


def inception_score(logits: Tensor, splits: int = 10, seed: int = 0) -> Estimate:
    """Return exp E KL(p(y|x) ‖ p(y)) of class logits (N, K), over `splits` parts of a shuffled set.

    A part with a single image scores 1 whatever it shows, so N must be at least twice `splits`.

    Paper: Salimans et al. (2016), arXiv:1606.03498.
    """
    if len(logits) < 2 * splits:
        raise TooFewError(
            f"the Inception score of {splits} parts needs {2 * splits} or more images, but there "
            f"are {len(logits)}."
        )
    order = np.random.RandomState(seed % SEEDS).permutation(len(logits))  # as in torch-fidelity
    log_p = logits.double()[torch.from_numpy(order).to(logits.device)].log_softmax(dim=1)
    ends = [i * len(log_p) // splits for i in range(splits + 1)]
    scores = []
    for start, end in itertools.pairwise(ends):
        part = log_p[start:end]
        mean = part.exp().mean(dim=0)
        # A class whose probability underflows in every image adds 0, the limit of p log p.
        terms = torch.where(mean > 0, part.exp() * (part - mean.log()), 0.0)
        scores.append(terms.sum(dim=1).mean().exp().item())
    return Estimate(float(np.mean(scores)), float(np.std(scores)))


def precision_recall(generated: Tensor, reference: Tensor, nearest: int = 5) -> tuple[float, float]:
    """Return precision and recall, the share of each set inside the balls around the other set.

    The ball around a vector reaches to its `nearest`-th neighbour in its own set.

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
    """Return density and coverage.

    The ball around a real image reaches to its `nearest`-th real neighbour. Density is the mean
    number of such balls that contain a generated image, divided by `nearest`; coverage is the share
    of balls that contain a generated image.

    Paper: Naeem et al. (2020), arXiv:2002.09797.
    """
    _enough(generated, reference, nearest)
    generated, reference = exact(generated), exact(reference)
    inside_count, covered = 0, 0
    for block in reference.split(BLOCK):
        # One more neighbour, since each image is its own nearest one.
        closest = torch.cdist(block, reference).topk(nearest + 1, largest=False).values
        inside = torch.cdist(block, generated) < closest[:, -1:]
        inside_count += int(inside.sum())
        covered += int(inside.any(dim=1).sum())
    return inside_count / (nearest * len(generated)), covered / len(reference)


def nearest_rows(
    vectors: Tensor, among: Tensor, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Find the nearest row of `among` (M, D) for each of the vectors (N, D).

    Args:
        vectors: the vectors.
        among: the rows to search.
        own: for each vector, a row of `among` to ignore because it is the vector itself.

    Returns:
        The distances (N,) to the nearest rows, and their indices (N,).
    """
    dtype, vectors, among = vectors.dtype, exact(vectors), exact(among)
    squares = among.square().sum(dim=1)
    nearest = []
    for start in range(0, len(vectors), BLOCK // 4):
        block = vectors[start : start + BLOCK // 4]
        # |a - b|² without |a|², which does not affect the minimum.
        part = torch.addmm(squares, block, among.T, alpha=-2)
        if own is not None:
            part[torch.arange(len(block)), own[start : start + len(block)]] = torch.inf
        nearest.append(part.argmin(dim=1))
    index = torch.cat(nearest)
    return (vectors - among[index]).norm(dim=1).to(dtype), index


def random_rows(count: int, total: int, seed: int) -> Tensor:
    """Draw `count` of `total` row numbers without replacement and sort them; all if too few."""
    if count >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count].sort()[0]


def _enough(generated: Tensor, reference: Tensor, nearest: int) -> None:
    if min(len(generated), len(reference)) <= nearest:
        raise TooFewError(
            f"neighbours up to the {nearest}th need more than {nearest} images, but there are "
            f"{len(generated)} generated and {len(reference)} reference images."
        )
