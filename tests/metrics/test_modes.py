"""Counting modes: of Stacked MNIST by a classifier, of points by their distance."""

from __future__ import annotations

import math

import pytest
import torch

from zoo.core.errors import ZooError
from zoo.metrics.comparison import Reference
from zoo.metrics.evaluate import evaluate, reference_of
from zoo.metrics.features.base import create_features, extract
from zoo.metrics.scores.base import count_modes
from zoo.metrics.scores.points import nearest_modes
from zoo.registry import create


def test_modes_and_their_divergence() -> None:
    assert count_modes(torch.arange(1000).repeat(26), 1000) == (1000, pytest.approx(0, abs=1e-12))
    assert count_modes(torch.zeros(26_000, dtype=torch.int64), 1000) == (
        1,
        pytest.approx(math.log(1000)),
    )
    half = torch.arange(500).repeat(10)
    assert count_modes(half, 1000) == (500, pytest.approx(math.log(2)))
    # 26,000 uniform samples: KL is (K - 1) / 2N to first order
    drawn = torch.randint(1000, (26_000,), generator=torch.Generator().manual_seed(0))
    hit, divergence = count_modes(drawn, 1000)
    assert hit == 1000
    assert divergence == pytest.approx(999 / 52_000, rel=0.1)


def test_modes_of_points_in_the_plane() -> None:
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    points = torch.tensor([[0.1, 0.0], [9.9, 0.2], [5.0, 5.0], [0.0, -0.2]])
    assert nearest_modes(points, centers, radius=0.5).tolist() == [0, 1, 0]


def test_real_points_hit_every_mode_and_a_collapsed_generator_one() -> None:
    data = create("datamodule", "gaussians", train_val_test_split=[4000, 0, 2000])
    reference = reference_of(data)
    real = data.split("test")[0]
    for points, modes, share in ((real, 8, 0.98), (real[:1].expand(2000, -1, -1, -1), 1, 0.0)):
        images = iter([points])
        found = evaluate(
            lambda n, y, images=images: next(images),
            reference,
            conditional=False,
            metrics=["point_modes", "fid"],
            n=2000,
            batch_size=2000,
            progress=False,
        )
        assert found.figures["modes"] == modes
        assert found.figures["high_quality"] >= share
        assert (found.figures["fid"] < 0.01) == (modes == 8)
    assert found.figures["mode_kl"] == pytest.approx(math.log(8))
    with pytest.raises(ZooError, match="one pixel with two channels"):
        extract(create_features("points"), torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


def test_points_that_lie_at_no_mode_have_no_shares_of_modes() -> None:
    data = create("datamodule", "gaussians", train_val_test_split=[400, 0, 0])
    found = evaluate(
        lambda n, y: torch.full((n, 2, 1, 1), 0.9),
        reference_of(data),
        conditional=False,
        metrics=["point_modes"],
        n=100,
        progress=False,
    )
    assert found.figures == {"modes": 0, "high_quality": 0.0}
    assert found.notes == ["mode_kl is left out: no point lies near a mode."]


@pytest.mark.parametrize("kind", ["ring", "grid"])
def test_a_perfect_generator_of_points_has_perfect_figures(kind: str) -> None:
    """Points keep all their digits, and distances between them are exact."""
    data = create("datamodule", "gaussians", modes=kind, train_val_test_split=[4000, 0, 4000])
    points = data.split("test")[0]
    assert points.dtype == torch.float32
    assert len(points.flatten(1).unique(dim=0)) == 4000
    images = iter([points])
    found = evaluate(
        lambda n, y: next(images),
        reference_of(data),
        conditional=False,
        metrics=["prdc", "memorization", "kid"],
        n=4000,
        batch_size=4000,
        progress=False,
    ).figures
    assert found["density"] == pytest.approx(1, abs=0.05)
    assert found["coverage"] == pytest.approx(1 - 0.5**5, abs=0.02)  # in expectation, for 5 of them
    assert found["precision"] > 0.9
    assert found["nearest_ratio"] == pytest.approx(1, abs=0.1)
    assert found["copies"] == pytest.approx(0.01, abs=0.005)


def test_twins_leave_nearest_ratio_out() -> None:
    points = torch.rand(1, 2, 1, 1).expand(400, -1, -1, -1)
    reference = Reference("gaussians", "train", points)
    found = evaluate(
        lambda n, y: points[:n],
        reference,
        conditional=False,
        metrics=["memorization", "kid"],
        n=300,
        batch_size=300,
        progress=False,
    )
    assert "nearest_ratio" not in found.figures
    assert any("nearest_ratio is left out" in note for note in found.notes)
    assert "kid_std" in found.figures  # subsets of 300 of 400
    assert found.figures["copies"] == 1


def test_copies_are_seen_where_some_training_images_have_twins() -> None:
    """A real one in five is 0 from its twin: nearer than 0 is no copy."""
    real = torch.rand(500, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    real[:50] = real[50:100]
    for points, copies in ((real, 1.0), (real + 1e-3, 0.0)):
        found = evaluate(
            lambda n, y, points=points: points,
            Reference("gaussians", "train", real),
            conditional=False,
            metrics=["memorization"],
            n=500,
            batch_size=500,
            progress=False,
        )
        assert found.figures["copies"] == copies


def test_a_mode_without_real_points_leaves_the_modes_out() -> None:
    """Its middle would be NaN, to which every point is the nearest and none is near."""
    data = create("datamodule", "gaussians", train_val_test_split=[400, 0, 12])
    reference = reference_of(data, "test")
    few = torch.bincount(reference.labels, minlength=8)
    points = data.split("train")[0]
    found = evaluate(
        lambda n, y: points[:n],
        reference,
        conditional=False,
        metrics=["point_modes", "fid"],
        n=400,
        progress=False,
    )
    assert list(found.figures) == ["fid"]
    (note,) = found.notes
    assert note.startswith("point_modes is left out: metric point_modes needs 2 or more real ")
    assert f"mode {int(few.argmin())} has {int(few.min())} in gaussians/test" in note
