"""Adaptive pseudo augmentation."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.parts.augmentations.adaptive import AdaptiveAugmentation
from zoo.registry import above, at_least, augmentation, between, idle_when


@augmentation("apa")
class APA(AdaptiveAugmentation):
    """Adaptive pseudo augmentation: some reals are replaced by fakes, which D is told are real.

    Paper: Jiang et al. (2021), arXiv:2111.06849.

    In D's update each real image is, with probability p, replaced by the generated image at its
    index, which has the same label; p follows E[sign D(x)] as in `ada`. It goes together with
    `ada`, each with a p of its own.

    Args:
        p: probability at the start, or all along.
        adaptive: whether p follows how sure D is of the reals.
        target: E[sign D(x)] to hold.
        interval: updates of D between two changes of p.
        speed: real images over which p can rise from 0 to 1; 100000 when resuming, as the authors.
    """

    def __init__(
        self,
        p: Annotated[float, at_least(0)] = 0.0,
        adaptive: bool = True,
        target: Annotated[float, between(-1, 1), idle_when(adaptive=False)] = 0.6,
        interval: Annotated[int, at_least(1), idle_when(adaptive=False)] = 4,
        speed: Annotated[float, above(0), idle_when(adaptive=False)] = 500_000.0,
    ) -> None:
        super().__init__(p, adaptive, target, interval, speed)

    def forward(self, images: Tensor) -> Tensor:
        return images

    def reals(self, real: Tensor, fake: Tensor) -> Tensor:
        pseudo = torch.rand(len(real), 1, 1, 1, device=real.device) < self.p
        return torch.where(pseudo, fake.to(real.dtype), real)
