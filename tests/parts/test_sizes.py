"""Image sizes of every network: what is refused names what is taken, and oblong ones work."""

from __future__ import annotations

import re

import pytest
import torch
from helpers_contracts import LATENT, build, classes_of, inputs, parametrize

from zoo.core.errors import ZooError

BAD = (1, 3, 9, 30, 33, 50, [30, 44], [9, 50], [48, 32])


def problem(part, size) -> str | None:
    """The sentence of a network that does not take a size."""
    try:
        with torch.device("meta"):
            build(part, classes_of(part, 0), size)
    except ZooError as error:
        return str(error)
    return None


@parametrize("generator", "discriminator")
def test_what_is_refused_names_the_nearest_that_is_taken(part):
    for size in BAD:
        text = problem(part, size)
        if text is None:
            continue
        assert "image_size" in text
        named = re.search(r"the nearest is (.*)\.$", text)
        assert named, text
        for one in named[1].split(" or "):
            near = [int(n) for n in re.findall(r"\d+", one)]
            assert problem(part, near if len(near) == 2 else near[0]) is None, text
            if isinstance(size, int) and size > 1:
                nearer = range(min(size, near[0]) + 1, max(size, near[0]))
                assert all(problem(part, other) is not None for other in nearer), text


@pytest.mark.parametrize(
    ("size", "near"),
    [([33, 48], [32, 48]), ([47, 30], [48, 32]), ([9, 2], [8, 8]), ([35, 29], [36, 28])],
)
def test_of_oblong_sizes_each_side_goes_to_its_nearest(size, near):
    for part in (("generator", "dcgan"), ("discriminator", "stylegan2")):
        assert problem(part, size).endswith(f"; the nearest is {near}.")
        assert problem(part, near) is None
    assert problem(("discriminator", "timm"), size).endswith(f"; the nearest is {max(near)}.")


def test_sides_of_any_parity_are_no_multiples():
    text = problem(("generator", "pacgan"), 2)
    assert text.endswith("image_size=2: it takes sides from 3 up; the nearest is 3.")


@parametrize("generator", "discriminator")
def test_oblong_images_are_made_and_scored_or_refused_in_words(part):
    text = problem(part, [48, 32])
    if text is not None:
        assert "square images" in text
        return
    network = build(part, classes_of(part, 0), [48, 32]).eval()
    z, y = inputs(part) if part[0] == "generator" else (torch.rand(3, 3, 48, 32), torch.arange(3))
    with torch.no_grad():
        out = network(z, y if network.num_classes else None)
    if part[0] == "generator":
        assert z.shape[1] == LATENT
        assert out.shape == (3, 3, 48, 32)
    else:
        assert out.shape[0] == 3
