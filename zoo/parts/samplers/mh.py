"""Metropolis-Hastings sampling."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.contracts.sampler import Sampler, Scene
from zoo.parts.samplers.calibration import CALIBRATIONS, Calibration
from zoo.registry import at_least, idle_when, sampler


@sampler("mh")
class MetropolisHastings(Sampler):
    """MH-GAN: each image ends a chain of generated ones that D moves towards the data.

    Paper: Turner et al. (2019), arXiv:1811.11357.

    A proposal is a new draw of the generator, accepted with probability
    min(1, (1/D - 1) / (1/D' - 1)) = min(1, exp(s' - s)), s = log p_data / p_G by D. Long chains
    give the data's distribution where D is right, whatever the generator's.

    D is calibrated on held-out real images and as many generated ones, as the paper found to be
    needed, and chains start at real images, which are where they should end; a chain that never
    moves off one starts again at a generated image.

    Args:
        steps: proposals per image.
        calibration: of D's scores: `logistic`, `isotonic`, or `none` for a D that is right.
        start: `real`, or `generated` where the data are not here; with `generated` and
            `calibration=none` no data are needed.
        held_out: real images that are looked at.
    """

    def __init__(
        self,
        steps: Annotated[int, at_least(1)] = 640,
        calibration: Literal["logistic", "isotonic", "none"] = "logistic",
        start: Literal["real", "generated"] = "real",
        held_out: Annotated[
            int, at_least(10), idle_when(calibration="none", start="generated")
        ] = 1000,
    ) -> None:
        self.steps = steps
        self.calibration = calibration
        self.start = start
        self.held_out = held_out

    @property
    def calibrates(self) -> bool:  # type: ignore[override]
        return self.calibration != "none"

    def __call__(self, scene: Scene, z: Tensor, y: Tensor | None) -> Tensor:
        ratio: Calibration = torch.Tensor.double
        real = torch.empty(0, dtype=torch.float64)
        classes: Tensor | None = None
        if self.calibrates or self.start == "real":
            images, classes = self._held_out(scene)
            real = scene.each(scene.score, images, classes)
            if self.calibrates:
                labels = None if y is None else classes
                fake = scene.scores(scene.draw(len(images)), labels)
                ratio = CALIBRATIONS[self.calibration](real, fake)
        begun = None
        if self.start == "real":
            begun = ratio(real[_starts(scene.random, len(z), y, len(real), classes)])
        return self._chains(scene, z.clone(), y, ratio, begun)

    def _held_out(self, scene: Scene) -> tuple[Tensor, Tensor | None]:
        images, labels = scene.reals()
        order = torch.randperm(len(images), generator=scene.random)[: self.held_out]
        return images[order], None if labels is None else labels[order]

    def _chains(
        self, scene: Scene, z: Tensor, y: Tensor | None, ratio: Calibration, now: Tensor | None
    ) -> Tensor:
        """The ends of chains, one for each label.

        Args:
            z: where they start.
            now: log ratios of the real images where they start instead.
        """
        moved = torch.full((len(z),), now is None)
        here, at = z, ratio(scene.scores(z, y)) if now is None else now
        for _ in range(self.steps):
            proposals = scene.draw(len(z))
            then = ratio(scene.scores(proposals, y))
            kept = scene.uniform(len(z)) < (then - at).exp()
            at = torch.where(kept, then, at)
            here = torch.where(kept[:, None], proposals, here)
            moved |= kept
        if not moved.all():
            labels = None if y is None else y[~moved]
            here[~moved] = self._chains(scene, z[~moved], labels, ratio, None)
        return here


def _starts(
    random: torch.Generator, n: int, y: Tensor | None, reals: int, classes: Tensor | None
) -> Tensor:
    """Places of the real images where `n` chains start, of the chain's class where there are some.

    Args:
        y: labels (n,) of the chains.
        reals: how many real images there are.
        classes: their labels.
    """
    places = torch.randint(reals, (n,), generator=random)
    if y is None or classes is None:
        return places
    for label in y.unique():
        own, asked = (classes == label).nonzero()[:, 0], (y == label).nonzero()[:, 0]
        if len(own):
            places[asked] = own[torch.randint(len(own), (len(asked),), generator=random)]
    return places
