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
