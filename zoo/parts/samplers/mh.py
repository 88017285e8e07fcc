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
    """MH-GAN: each image is the end of a Metropolis-Hastings chain of generated images.

    Paper: Turner et al. (2019), arXiv:1811.11357.

    A proposal is a new draw of the generator, accepted with probability
    min(1, (1/D - 1) / (1/D' - 1)) = min(1, exp(s' - s)), where s = log p_data / p_G according to D.
    Long chains follow the data's distribution if D is right, whatever the generator's distribution.

    D is calibrated on held-out real images and as many generated ones, which the paper found to be
    necessary. Chains start at real images, that is, in the distribution they should converge to; a
    chain that never leaves its real image starts again at a generated one.

    Args:
        steps: number of proposals per image.
        calibration: calibration of D's scores: `logistic`, `isotonic`, or `none` to trust them.
        start: start chains at `real` images, or at `generated` ones if the data are not available;
            with `generated` and `calibration=none` no data are needed.
        held_out: number of held-out real images to use.
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
        start = None
        if self.start == "real":
            start = ratio(real[_starts(scene.random, len(z), y, len(real), classes)])
        return self._chains(scene, z.clone(), y, ratio, start)

    def _held_out(self, scene: Scene) -> tuple[Tensor, Tensor | None]:
        images, labels = scene.reals()
        order = torch.randperm(len(images), generator=scene.random)[: self.held_out]
        return images[order], None if labels is None else labels[order]

    def _chains(
        self, scene: Scene, z: Tensor, y: Tensor | None, ratio: Calibration, start: Tensor | None
    ) -> Tensor:
        """Return the latents at the ends of the chains, one chain per row of `z`.

        Args:
            scene: the trained networks.
            z: latents where the chains start.
            y: labels (N,) of the chains; None without classes.
            ratio: the calibration of D's scores.
            start: log ratios of the real images where the chains start instead; None to start at
                `z`.
        """
        moved = torch.full((len(z),), start is None)
        current = z
        current_ratio = ratio(scene.scores(z, y)) if start is None else start
        for _ in range(self.steps):
            proposals = scene.draw(len(z))
            proposed_ratio = ratio(scene.scores(proposals, y))
            accepted = scene.uniform(len(z)) < (proposed_ratio - current_ratio).exp()
            current_ratio = torch.where(accepted, proposed_ratio, current_ratio)
            current = torch.where(accepted[:, None], proposals, current)
            moved |= accepted
        if not moved.all():
            labels = None if y is None else y[~moved]
            current[~moved] = self._chains(scene, z[~moved], labels, ratio, None)
        return current


def _starts(
    random: torch.Generator, n: int, y: Tensor | None, reals: int, classes: Tensor | None
) -> Tensor:
    """Draw indices of the real images where `n` chains start, of each chain's class if possible.

    Args:
        random: source of random numbers.
        n: number of chains.
        y: labels (n,) of the chains; None without classes.
        reals: number of real images.
        classes: labels of the real images; None without classes.
    """
    starts = torch.randint(reals, (n,), generator=random)
    if y is None or classes is None:
        return starts
    for label in y.unique():
        images, chains = (classes == label).nonzero()[:, 0], (y == label).nonzero()[:, 0]
        if len(images):
            starts[chains] = images[torch.randint(len(images), (len(chains),), generator=random)]
    return starts
