"""Metrics against closed forms and independent implementations, and the protocol around them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import numpy as np
import prdc
import pytest
import torch
from torch import Tensor, nn

import zoo
from zoo.core.errors import ZooError
from zoo.data.pixels import to_float
from zoo.metrics.cache import reference_features
from zoo.metrics.choice import default_metrics
from zoo.metrics.comparison import Reference
from zoo.metrics.distances import (
    density_coverage,
    frechet_distance,
    moments,
    precision_recall,
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
    assert default_features("cifar10") == "cifar10"
    assert default_features("svhn") in ("efficientnet_lite0", "inception")
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
        ({"metrics": ["memorization"], "split": "test"}, "has none: leave the metric out or pass"),
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
    with pytest.raises(ZooError, match=r"3x32x32, but mnist_subset/train 1x32x32 has 1x32x32"):
        evaluate(lambda n, y: torch.zeros(n, 3, 32, 32), reference, **given)  # type: ignore[arg-type]
    with pytest.raises(ZooError, match="NaN"):
        evaluate(lambda n, y: torch.full((n, 1, 32, 32), torch.nan), reference, **given)  # type: ignore[arg-type]
    with pytest.raises(ZooError, match="returned 4 images instead of 10"):
        evaluate(lambda n, y: torch.zeros(4, 1, 32, 32), reference, **given)  # type: ignore[arg-type]
    unlabelled = dataclasses.replace(reference, labels=None, num_classes=0)
    with pytest.raises(ZooError, match="needs labels"):
        evaluate(real_sampler(reference), unlabelled, conditional=True, progress=False)
    with pytest.raises(
        ZooError, match=rf"metric {name} .* 12 classes of svhn, .* recognizes 10 others"
    ):
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
