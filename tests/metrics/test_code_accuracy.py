"""The accuracy of a categorical code after matching, and the codes of what is generated."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import zoo
from zoo.core.errors import ZooError
from zoo.metrics.comparison import Reference
from zoo.metrics.evaluate import LatentSampler, evaluate
from zoo.metrics.features.base import Features
from zoo.metrics.scores.code_accuracy import matched_share

CLASSES = torch.tensor([2, 0, 1])
"""The class of each value of the code, in the networks below."""


class Shades(zoo.Generator):
    """Pictures as bright as the class that the code stands for, but for every eighth of them."""

    def __init__(self) -> None:
        super().__init__(4, 1, 5)
        self.latent = zoo.create("latent", "codes", dim=5, categorical=[3], continuous=0)
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        shown = CLASSES[z[:, 2:].argmax(dim=1)]
        shown = torch.where(torch.arange(len(z)) % 8 == 0, (shown + 1) % 3, shown)
        return (shown - 1.0).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


class Brightness(Features):
    """Reads three classes off black, grey and white pictures."""

    labels_of = ("shades",)

    def __init__(self) -> None:
        super().__init__()
        self.name, self.resizer, self.classes = "brightness", "none", 3
        self.register_buffer("white", torch.tensor(255.0))
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        bright = images.flatten(1)[:, :1] / self.white
        return bright, -(bright - torch.tensor([0, 0.5, 1])).square()


def test_the_best_matching_is_that_of_all_permutations() -> None:
    random = torch.Generator().manual_seed(0)
    values, classes = (torch.randint(4, (60,), generator=random) for _ in range(2))
    shares = {
        order: (torch.tensor(order)[values] == classes).double().mean().item()
        for order in itertools.permutations(range(4))
    }
    share, pairs = matched_share(values, classes)
    best = max(shares, key=shares.__getitem__)
    assert share == pytest.approx(shares[best])
    assert pairs == list(enumerate(best))


def test_two_values_cannot_both_be_the_same_class() -> None:
    values = torch.tensor([0, 0, 0, 1, 1, 2])
    share, pairs = matched_share(values, torch.tensor([5, 5, 5, 5, 5, 1]))
    assert share == pytest.approx(4 / 6)
    assert dict(pairs)[0] == 5


def test_codes_are_those_of_the_images_whatever_the_batch() -> None:
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 4, 4).contiguous()
    reference = Reference("shades", "train", images, torch.arange(6) % 3, 3)
    found = evaluate(
        LatentSampler(Shades()),
        reference,
        conditional=False,
        metrics=["code_accuracy"],
        features=Brightness(),
        n=240,
        batch_size=80,
        progress=False,
    )
    assert found.figures["code_accuracy"] == pytest.approx(7 / 8)
    assert "0: 2, 1: 0, 2: 1" in " ".join(found.notes)
    assert "code_accuracy" in found.higher_is_better


def test_a_latent_without_codes_is_refused() -> None:
    generator = zoo.create("generator", "mlp", image_size=4, channels=1, latent_dim=5)
    images = torch.zeros(6, 1, 4, 4, dtype=torch.uint8)
    with pytest.raises(ZooError, match="needs a generator that was trained with a cat"):
        evaluate(
            LatentSampler(generator),
            Reference("shades", "train", images, torch.arange(6) % 3, 3),
            conditional=False,
            metrics=["code_accuracy"],
            features=Brightness(),
            n=10,
            progress=False,
        )
