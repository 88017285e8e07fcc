"""Grids of pictures."""

from __future__ import annotations

import numpy as np
import torch

from zoo.inference.images import grid


def test_long_names_stay_above_their_own_column():
    images = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    named, alone = (
        np.asarray(grid(images, 2, heads=names, scale=2))
        for names in (["a name far too long to fit", ""], ["", ""])
    )
    ink = (named[:-36] < 128).any(axis=0)
    assert ink[2:34].any()
    assert not ink[36:].any()
    assert (alone[:-36] >= 128).all()


def test_points_of_the_plane_are_drawn_where_they_are():
    points = torch.tensor([[255, 255], [0, 0]], dtype=torch.uint8)[:, :, None, None]
    picture = np.asarray(grid(points))
    assert picture.shape == (512, 512)
    assert picture[0, -1] > 0  # x to the right, y upwards
    assert picture[-1, 0] > 0
    assert (picture > 0).sum() == 8
