"""Metrics against closed forms and independent implementations, and the protocol around them."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterator

import numpy as np
import prdc
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

import zoo
from zoo.core.errors import ZooError
from zoo.data.pixels import to_float
from zoo.metrics.cache import reference_features
from zoo.metrics.choice import default_metrics
from zoo.metrics.comparison import Reference
from zoo.metrics.distances import (
    density_coverage,
    frechet_distance,
    inception_score,
    kernel_distance,
    moments,
    nearest_rows,
    precision_recall,
    random_rows,
)
from zoo.metrics.evaluate import LatentSampler, default_features, evaluate, reference_of
from zoo.metrics.features.base import Features, create_features, extract


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("ZOO_CACHE")
    os.environ["ZOO_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["ZOO_CACHE"]
    else:
        os.environ["ZOO_CACHE"] = before


@pytest.fixture(scope="module")
def network() -> Features:
    return create_features("mnist")


@pytest.fixture(scope="module")
def reference() -> Reference:
    """3,000 training images of the embedded subset, tested on its 2,000 test images."""
    whole = reference_of(zoo.create("datamodule", "mnist_subset"), "train")
    assert whole.labels is not None
    return dataclasses.replace(whole, images=whole.images[:3000], labels=whole.labels[:3000])


@pytest.fixture(scope="module")
def held_out(network: Features, reference: Reference) -> Tensor:
    """Features of 2,000 real images that are not in the reference."""
    assert reference.test_images is not None
    return extract(network, reference.test_images)[0]


def blobs(n: int, width: int = 16, seed: int = 0, shift: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.5, 2, width)
    return torch.randn(n, width, generator=generator) * scale + shift


def real_sampler(reference: Reference, noise: float = 0.0, seed: int = 0):
    """A "generator" that shows held-out real images of the class asked for, with noise."""
    images, labels = reference.test_images, reference.test_labels
    assert images is not None
    assert labels is not None
    generator = torch.Generator().manual_seed(seed)
    by_class = [images[labels == c] for c in range(10)]

    def sample(n: int, y: Tensor | None) -> Tensor:
        classes = torch.randint(10, (n,), generator=generator) if y is None else y
        chosen = [
            by_class[c][int(torch.randint(len(by_class[c]), (), generator=generator))]
            for c in classes.tolist()
        ]
        x = to_float(torch.stack(chosen))
        return x + noise * torch.randn(x.shape, generator=generator)

    return sample


# Distances ---------------------------------------------------------------------------------------


def test_frechet_distance_of_known_moments() -> None:
    a = {"mu": np.zeros(3), "sigma": np.diag([1.0, 4.0, 9.0])}
    b = {"mu": np.array([1.0, 2.0, 2.0]), "sigma": np.diag([4.0, 4.0, 1.0])}
    # |mu|^2 + sum (sqrt(s1) - sqrt(s2))^2
    assert frechet_distance(a, b) == pytest.approx(9 + 1 + 0 + 4)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


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


def test_prdc_on_features_of_real_digits(held_out: Tensor, network: Features) -> None:
    one, two = held_out[::2], held_out[1::2]
    expected = prdc.compute_prdc(two.numpy(), one.numpy(), 5)
    assert precision_recall(one, two)[0] == pytest.approx(expected["precision"], rel=1e-3)
    assert precision_recall(one, two)[1] == pytest.approx(expected["recall"], rel=1e-3)
    assert density_coverage(one, two)[0] == pytest.approx(expected["density"], rel=1e-3)
    assert density_coverage(one, two)[1] == pytest.approx(expected["coverage"], rel=1e-3)


def test_fid_of_real_images_is_near_zero_and_rises_with_noise(
    reference: Reference, network: Features, held_out: Tensor
) -> None:
    real = moments(reference_features(network, reference.images))
    assert reference.test_images is not None
    generator = torch.Generator().manual_seed(0)
    values = [frechet_distance(held_out, real)]
    for sigma in (0.1, 0.2, 0.4):
        noise = torch.randn(reference.test_images.shape, generator=generator) * 127.5 * sigma
        noisy = (reference.test_images + noise).clamp(0, 255).round().to(torch.uint8)
        values.append(frechet_distance(extract(network, noisy)[0], real))
    assert values[0] < 1
    assert values == sorted(values)
    assert values[1] > 2 * values[0]


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


# Evaluation --------------------------------------------------------------------------------------


def test_all_default_metrics_on_real_images(reference: Reference) -> None:
    result = evaluate(
        real_sampler(reference), reference, conditional=True, n=1500, progress=False, model="real"
    )
    figures = result.figures
    assert figures["fid"] < 1.5
    assert abs(figures["kid"]) < 0.01
    assert figures["inception_score"] > 9
    assert figures["precision"] > 0.85
    assert figures["recall"] > 0.6
    assert figures["density"] > 0.8
    assert figures["coverage"] > 0.7
    assert figures["modes"] == 10
    assert figures["mode_kl"] < 0.02
    assert figures["conditional_accuracy"] > 0.98
    assert figures["cas"] > 0.8
    assert figures["nearest_ratio"] == pytest.approx(1, abs=0.15)
    assert figures["copies"] < 0.04
    assert len(result.per_class["fid"]) == len(result.per_class["conditional_accuracy"]) == 10
    assert figures["per_class_fid"] == pytest.approx(np.mean(result.per_class["fid"]))
    assert figures["per_class_fid"] > figures["fid"]
    assert len(result.pairs) == 32
    assert result.seconds > 0


def test_wrong_labels_are_seen(reference: Reference) -> None:
    honest = real_sampler(reference)
    result = evaluate(
        lambda n, y: honest(n, (y + 1) % 10),  # type: ignore[operator]
        reference,
        conditional=True,
        metrics=["conditional_accuracy", "fid", "per_class_fid"],
        n=500,
        progress=False,
    )
    assert result.figures["conditional_accuracy"] < 0.05
    assert result.figures["per_class_fid"] > 20 * result.figures["fid"]
    assert any("FID per class of" in note and "biased" in note for note in result.notes)


def test_copied_images_are_seen(reference: Reference) -> None:
    result = evaluate(
        lambda n, y: to_float(reference.images[:n]),
        reference,
        conditional=False,
        metrics=["memorization"],
        n=200,
        batch_size=200,
        progress=False,
    )
    assert result.figures["copies"] == 1
    assert result.figures["nearest_ratio"] < 1e-3
    assert all(g == r for g, r, _ in result.pairs)


def test_a_seed_decides_and_batches_do_not(reference: Reference) -> None:
    generator = zoo.create(
        "generator", "dcgan", image_size=32, channels=1, latent_dim=8, num_classes=10
    ).eval()
    options = {"conditional": True, "metrics": ["fid", "kid"], "n": 250, "progress": False}
    first = evaluate(LatentSampler(generator, seed=3), reference, seed=3, batch_size=250, **options)
    state = torch.get_rng_state()
    again = evaluate(LatentSampler(generator, seed=3), reference, seed=3, batch_size=250, **options)
    assert torch.equal(state, torch.get_rng_state())
    assert first.figures == again.figures
    parts = evaluate(LatentSampler(generator, seed=3), reference, seed=3, batch_size=70, **options)
    assert parts.figures == pytest.approx(first.figures, rel=1e-4)
    other = evaluate(LatentSampler(generator, seed=4), reference, seed=4, batch_size=250, **options)
    assert other.figures != first.figures
    assert other.protocol.differences(first.protocol) == []
    with pytest.raises(ZooError, match="truncation=-1"):
        LatentSampler(generator, truncation=-1)


def test_stacked_digits_have_a_thousand_modes(reference: Reference) -> None:
    assert reference.labels is not None
    train = reference.images
    stacked = Reference(
        "stacked_mnist", "train", torch.cat([train[:900], train[900:1800], train[1800:2700]], 1)
    )
    honest = real_sampler(reference)
    result = evaluate(
        lambda n, y: torch.cat([honest(n, None) for _ in range(3)], 1),
        stacked,
        conditional=False,
        metrics=["modes", "inception_score", "fid"],
        n=600,
        progress=False,
    )
    expected = 1000 * (1 - (1 - 1 / 1000) ** 600)
    assert result.figures["modes"] == pytest.approx(expected, rel=0.1)
    assert result.protocol.features == "mnist"
    assert result.protocol.reference == "stacked_mnist/train 3x32x32"


def test_default_metrics_follow_the_data(network: Features, reference: Reference) -> None:
    assert "conditional_accuracy" in default_metrics(network, reference, conditional=True)
    assert "cas" not in default_metrics(network, reference, conditional=False)
    foreign = dataclasses.replace(reference, dataset="svhn")
    assert "modes" not in default_metrics(network, foreign, conditional=True)
    assert default_features("stacked_mnist") == "mnist"
    assert default_features("fashion_mnist") == "fashion_mnist"
    assert default_features("cifar10") in ("efficientnet_lite0", "inception")
    unknown = Reference("mine", "train", torch.zeros(1, 2, 1, 1, dtype=torch.uint8))
    assert default_features(unknown) in ("efficientnet_lite0", "inception")
    assert default_features(dataclasses.replace(unknown, features="points")) == "points"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["fidd"]}, r"there is no metric 'fidd'. Did you mean 'fid'"),
        ({"metrics": ["cas"], "conditional": False}, "cas needs a conditional generator"),
        ({"n": 1}, "n=1 must be 2 or more"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"features": "mnits"}, r"Did you mean 'mnist'"),
        ({"n": 20, "metrics": ["per_class_fid"]}, "Raise n"),
        ({"metrics": ["memorization"], "split": "test"}, "comes without: leave it out or give"),
    ],
)
def test_bad_requests_are_told(
    options: dict[str, object], message: str, reference: Reference
) -> None:
    given = {"conditional": True, "n": 40, "progress": False, **options}
    reference = dataclasses.replace(reference, split=given.pop("split", "train"))
    with pytest.raises(ZooError, match=message):
        evaluate(real_sampler(reference), reference, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["modes", "conditional_accuracy"])
def test_images_that_do_not_fit_are_told(name: str, reference: Reference) -> None:
    given = {"conditional": False, "n": 10, "progress": False}
    with pytest.raises(ZooError, match=r"3x32x32 and mnist_subset/train 1x32x32 has 1x32x32"):
        evaluate(lambda n, y: torch.zeros(n, 3, 32, 32), reference, **given)  # type: ignore[arg-type]
    with pytest.raises(ZooError, match="NaN"):
        evaluate(lambda n, y: torch.full((n, 1, 32, 32), torch.nan), reference, **given)  # type: ignore[arg-type]
    unlabelled = dataclasses.replace(reference, labels=None, num_classes=0)
    with pytest.raises(ZooError, match="needs labels"):
        evaluate(real_sampler(reference), unlabelled, conditional=True, progress=False)
    with pytest.raises(ZooError, match=rf"metric {name} .* 12 classes of svhn, .* reads 10 others"):
        evaluate(
            real_sampler(reference),
            dataclasses.replace(reference, num_classes=12, dataset="svhn"),
            conditional=True,
            metrics=[name],
            features="mnist",
            n=20,
            progress=False,
        )


def test_pixels_outside_the_range_are_clamped_not_stretched(reference: Reference) -> None:
    seen: list[Tensor] = []

    class Spy(Features):
        """Keeps what it is shown."""

        name, weights_hash, resizer = "spy", "0", "none"

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, images: Tensor) -> tuple[Tensor, None]:
            seen.append(images)
            return images.float().flatten(1)[:, :2], None

    row = torch.tensor([-9.0, -1.0, 0.0, 0.5, 1.0, 9.0])
    picture = torch.zeros(1, 1, 32, 32)
    picture[0, 0, 0, :6] = row
    evaluate(
        lambda n, y: picture.expand(n, -1, -1, -1),
        reference,
        conditional=False,
        metrics=["memorization"],
        features=Spy(),
        n=2,
        progress=False,
    )
    assert seen[0][0, 0, 0, :6].tolist() == [0, 0, 128, 191, 255, 255]
