"""Points of the plane: drawn with axes over the real modes, in every picture of a model of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import make_checkpoint
from PIL import Image

import zoo
from zoo.data.sets.gaussians import centers
from zoo.inference.dataset import modes_of
from zoo.inference.images import grid
from zoo.inference.plane import MODE, SIZE, scatter
from zoo.tasks.explore import Explore
from zoo.tasks.sample import Sample

GENERATED = (217, 95, 2)
TOP = 40
"""Below it lies the plane, above it the legend."""


def near(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where a picture has a colour: (N, 2) of x and y."""
    rows, columns = np.nonzero((np.abs(picture.astype(int) - colour) < 40).all(axis=2))
    return np.stack([columns, rows], axis=1)


def in_plane(pixels: np.ndarray, marks: dict[float, float]) -> float:
    """A pixel's coordinate by two others that are known."""
    (a, x), (b, y) = marks.items()
    return x + (pixels - a) * (y - x) / (b - a)


@pytest.fixture(scope="module")
def points_ckpt(tmp_path_factory):
    file = make_checkpoint(
        tmp_path_factory.mktemp("points") / "p.ckpt",
        "mlp",
        "mlp",
        image_size=1,
        channels=2,
        num_classes=0,
    )
    content = torch.load(file, weights_only=True)
    content["zoo"]["data"] |= {
        "name": "gaussians",
        "num_classes": 8,
        "options": {"modes": "ring", "train_val_test_split": [400, 0, 100]},
    }
    torch.save(content, file)
    return file


def test_points_are_drawn_where_they_are():
    corners = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    places = near(np.asarray(scatter(corners)), GENERATED)
    places = places[places[:, 1] > TOP]  # below the legend
    low, high = places[:, 0] < SIZE / 2, places[:, 0] > SIZE / 2
    left, right = places[low].mean(axis=0), places[high].mean(axis=0)
    assert left[1] > right[1], "y does not go upwards"
    one = near(np.asarray(scatter(torch.tensor([[0.5, -0.25]]))), GENERATED)
    x, y = one[one[:, 1] > TOP].mean(axis=0)
    assert in_plane(x, {left[0]: -1, right[0]: 1}) == pytest.approx(0.5, abs=0.01)
    assert in_plane(y, {left[1]: -1, right[1]: 1}) == pytest.approx(-0.25, abs=0.01)


def test_levels_are_drawn_as_the_floats_that_they_stand_for():
    levels = torch.tensor([[255, 0]], dtype=torch.uint8)
    assert scatter(levels).tobytes() == scatter(torch.tensor([[1.0, -1.0]])).tobytes()


def test_markers_are_seen_and_modes_are_rings_around_their_middle():
    one = near(np.asarray(scatter(torch.zeros(1, 2))), GENERATED)
    assert len(one[one[:, 1] > TOP]) >= 20, "a marker of a few pixels is not seen"
    ring = centers("ring")
    picture = np.asarray(scatter(torch.zeros(1, 2), modes=ring))
    rings = near(picture, MODE)
    rings = rings[rings[:, 1] > TOP]
    middle = rings.mean(axis=0)
    assert len(rings) > 8 * 40
    angles = np.arctan2(-(rings[:, 1] - middle[1]), rings[:, 0] - middle[0])
    octants = np.unique(np.round(angles / (math.pi / 4)).astype(int) % 8)
    assert len(octants) == 8


def test_rows_have_a_colour_each_and_a_line_where_they_are_joined():
    points = torch.tensor([[-0.5, 0.5], [0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])[:, :, None, None]
    apart, joined = (
        np.asarray(grid(points, 2, rows=["a", "b"], joined=joined)) for joined in (False, True)
    )
    for picture in (apart, joined):
        below = near(picture, (0, 158, 115))
        assert (below[below[:, 1] > TOP][:, 1] > SIZE / 2).all()
    between = slice(SIZE // 2 - 60, SIZE // 2 - 20)
    assert not len(near(apart[TOP:, between], GENERATED))
    assert len(near(joined[TOP:, between], GENERATED))


def test_series_of_one_name_are_one_and_unnamed_rows_go_on():
    points = torch.zeros(4, 2)
    twice = scatter(points, 2, heads=["made", "made"])
    assert twice.tobytes() == scatter(points, 4, rows=["made"]).tobytes()
    assert twice.tobytes() == scatter(points, 2, rows=["made", ""]).tobytes()


def test_modes_of_points_come_from_what_the_file_says(points_ckpt):
    model = zoo.load(points_ckpt)
    torch.testing.assert_close(modes_of(model.data), centers("ring"))
    of_grid = {**model.data, "options": {"modes": "grid"}}
    torch.testing.assert_close(modes_of(of_grid), centers("grid"))
    for other in ({"name": "elsewhere"}, {"options": {"modes": "star"}}, {"image_size": 16}):
        assert modes_of({**model.data, **other}) is None
    assert modes_of({"name": "mnist_subset", "image_size": 16, "channels": 1}) is None


def test_explore_of_points_draws_them_over_the_modes(points_ckpt, tmp_path):
    """Images of 1×1 ended it: they have no spectrum."""
    summary = Explore(ckpt=str(points_ckpt), n=40, n_real=50, directions=2)(tmp_path)
    assert "no frequencies" in summary["left out"]
    assert "RuntimeError" not in summary["left out"]
    for name in ("interpolation", "sefa", "pca", "neighbours"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == (SIZE, SIZE)
            rings = near(np.asarray(picture), MODE)
        assert len(rings) > 8 * 40, name
    assert (tmp_path / "tsne.png").stat().st_size > 10_000
    assert "at their places in the plane" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_samples_of_points_are_one_picture_and_a_table(points_ckpt, tmp_path):
    summary = Sample(ckpt=str(points_ckpt), n=5)(tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.png")) == ["grid.png"]
    lines = summary["points"].read_text().splitlines()
    assert lines[0] == "name,x,y"
    told = [[float(v) for v in line.split(",")[1:]] for line in lines[1:]]
    made = zoo.load(points_ckpt).sample(5).flatten(1)
    torch.testing.assert_close(torch.tensor(told), made, atol=1e-5, rtol=1e-4)
