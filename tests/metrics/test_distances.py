"""Distances between sets of features against closed forms and other implementations."""

from __future__ import annotations

import math

import numpy as np
import prdc
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch_fidelity.metric_isc import isc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from zoo.core.errors import TooFewError, ZooError
from zoo.metrics.distances import (
    bias_note,
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    moments,
    nearest_rows,
    precision_recall,
    random_rows,
)


def blobs(n: int, width: int = 16, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.5, 2, width)
    return torch.randn(n, width, generator=generator) * scale + shift


def test_frechet_distance_of_known_moments() -> None:
    a = {"mu": np.zeros(3), "sigma": np.diag([1.0, 4.0, 9.0])}
    b = {"mu": np.array([1.0, 2.0, 2.0]), "sigma": np.diag([4.0, 4.0, 1.0])}
    # |mu|^2 + sum (sqrt(s1) - sqrt(s2))^2
    assert frechet_distance(a, b) == pytest.approx(9 + 1 + 0 + 4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_a_set_to_itself_is_not_negative() -> None:
    x = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    assert 0 <= frechet_distance(x, x) < 1e-6


def test_frechet_distance_of_few_vectors_is_said_to_be_biased() -> None:
    many = torch.randn(1000, 16, generator=torch.Generator().manual_seed(0))
    assert "singular" in bias_note("FID", many[:16], many)[0]
    assert bias_note("FID", many[:64], many) == [
        "FID of 64 images in 16 dimensions is biased upwards, since a covariance needs more images "
        "than that."
    ]
    assert bias_note("FID", many[:65], many) == bias_note("FID", many, many[:65]) == []


def test_bias_of_the_frechet_distance_is_as_its_note_says() -> None:
    exact = {"mu": np.zeros(16), "sigma": np.eye(16)}
    generator = torch.Generator().manual_seed(0)
    sets = torch.randn(50, 400, 16, generator=generator)
    biases = [frechet_distance(vectors, exact) - 16 / 400 for vectors in sets]  # without the mean's
    assert np.mean(biases) == pytest.approx(16 * 17 / (4 * 400), rel=0.05)


def test_distances_of_given_points() -> None:
    """As the figures of dgm-eval and torchmetrics on the same points."""
    real = torch.tensor([[0, 0], [1, 0], [0, 2], [3, 3]]).double()
    fake = torch.tensor([[0.5, 0], [0.1, 0.2], [3, 2], [6, 6]]).double()
    assert frechet_distance(moments(real), moments(fake)) == pytest.approx(6.947897, abs=1e-6)
    real = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]]).double()
    fake = torch.tensor([[0.5, 0], [0.1, 0.2], [1, 0.5], [0.3, 0.9]]).double()
    assert frechet_distance(moments(real), moments(fake)) == pytest.approx(0.082158, abs=1e-6)
    assert kernel_distance(fake, real).mean == pytest.approx(-0.649901, abs=1e-6)


class Identity(nn.Module):
    """Features that are the images: what torchmetrics is given in place of Inception."""

    num_features = 16

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def test_frechet_distance_agrees_with_torchmetrics_and_scipy() -> None:
    a, b = blobs(500), blobs(400, seed=1, shift=0.3)
    ours = frechet_distance(a, b)
    theirs = FrechetInceptionDistance(feature=Identity(), normalize=True).set_dtype(torch.float64)
    theirs.update(a.view(-1, 1, 4, 4).double(), real=True)
    theirs.update(b.view(-1, 1, 4, 4).double(), real=False)
    assert ours == pytest.approx(theirs.compute().item(), rel=1e-3)
    one, two = moments(a), moments(b)
    root = scipy.linalg.sqrtm(one["sigma"] @ two["sigma"]).real
    exact = np.sum((one["mu"] - two["mu"]) ** 2)
    exact += np.trace(one["sigma"] + two["sigma"] - 2 * root)
    assert ours == pytest.approx(exact, rel=1e-6)


def test_kernel_distance_agrees_with_torchmetrics() -> None:
    a, b = blobs(200), blobs(200, seed=1, shift=0.2)
    ours = kernel_distance(a, b, subsets=3, subset_size=500)
    assert ours.mean == pytest.approx(poly_mmd(a.double(), b.double()).item(), rel=1e-3)
    assert math.isnan(ours.std)  # all images of both sides: there is one subset
    assert kernel_distance(a, blobs(300, seed=2), subsets=20).std > 1e-6
    assert kernel_distance(a, blobs(300, seed=2), subsets=20, subset_size=100).std > 0


def test_seeds_larger_than_those_of_numpy() -> None:
    a, b = torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(0))
    for estimate in (
        lambda seed: kernel_distance(a, b, subsets=2, subset_size=32, seed=seed),
        lambda seed: inception_score(a, splits=2, seed=seed),
    ):
        assert estimate(2**32 + 1) == estimate(1) != estimate(2)


def test_inception_score_in_closed_form() -> None:
    certain = torch.eye(10).repeat(100, 1) * 1000
    assert inception_score(certain, splits=1).mean == pytest.approx(10)
    assert inception_score(torch.zeros(50, 10)).mean == pytest.approx(1)
    logits = blobs(300, 5)
    p = logits.double().softmax(1).numpy()
    exact = math.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())
    assert inception_score(logits, splits=1).mean == pytest.approx(exact, rel=1e-6)
    with pytest.raises(
        TooFewError, match=r"of 10 parts needs 20 or more images, but there are 19\."
    ):
        inception_score(certain[:19])
    told = isc_features_to_metric(logits, 7, True, 3)
    assert inception_score(logits, splits=7, seed=3) == pytest.approx(tuple(told.values()))


def test_the_inception_score_of_probabilities_that_underflow() -> None:
    """In each part some class has a mean probability of 0 exactly: 0 log 0 is 0."""
    certain = torch.eye(10).repeat_interleave(6, dim=0)[torch.randperm(60)] * 1e4
    order = np.random.RandomState(0).permutation(60)
    present = [len(set(part.tolist())) for part in certain.argmax(dim=1)[order].split(6)]
    assert min(present) < 10
    found = inception_score(certain, splits=10)
    assert math.isfinite(found.mean)
    entropies = [
        math.exp(-sum(s * math.log(s) for s in share if s))
        for part in certain.argmax(dim=1)[order].split(6)
        for share in [(part.bincount(minlength=10) / 6).tolist()]
    ]
    assert found.mean == pytest.approx(np.mean(entropies))


@pytest.mark.parametrize("nearest", [3, 5])
def test_prdc_agrees_with_prdc(nearest: int, capsys: pytest.CaptureFixture[str]) -> None:
    fake, real = blobs(700, 8), blobs(600, 8, seed=1, shift=0.3)
    expected = prdc.compute_prdc(real.double().numpy(), fake.double().numpy(), nearest)
    precision, recall = precision_recall(fake.double(), real.double(), nearest)
    density, coverage = density_coverage(fake.double(), real.double(), nearest)
    for name, value in [
        ("precision", precision),
        ("recall", recall),
        ("density", density),
        ("coverage", coverage),
    ]:
        assert value == pytest.approx(float(expected[name]), rel=1e-3), name
    assert 0 < coverage < 1


def test_nearest_rows_agree_with_all_distances() -> None:
    a, b = blobs(700, 8), blobs(900, 8, seed=1)
    distance, index = nearest_rows(a, b)
    closest = torch.cdist(a.double(), b.double()).min(dim=1)
    assert torch.equal(index, closest.indices)
    torch.testing.assert_close(distance.double(), closest.values)
    rows = random_rows(50, 900, seed=0)
    others, _ = nearest_rows(b[rows], b, own=rows)
    torch.testing.assert_close(
        others, torch.cdist(b[rows], b).kthvalue(2).values, rtol=1e-3, atol=1e-3
    )


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ZooError, match="need more than 5 images"):
        density_coverage(blobs(5), blobs(100))
    with pytest.raises(ZooError, match="2 or more images"):
        moments(blobs(1))
    for sides in ((blobs(9), blobs(1)), (blobs(1), blobs(9))):
        with pytest.raises(TooFewError, match="KID needs 2 or more images on both sides"):
            kernel_distance(*sides)
