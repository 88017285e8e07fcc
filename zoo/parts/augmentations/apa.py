"""Adaptive pseudo augmentation."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.parts.augmentations.adaptive import AdaptiveAugmentation
from zoo.registry import above, at_least, augmentation, between, idle_when


@augmentation("apa")
class APA(AdaptiveAugmentation):
    """Adaptive pseudo augmentation (APA): presents some fakes to D as reals when D overfits.

    Paper: Jiang et al. (2021), arXiv:2111.06849.

    In D's update each real image is replaced, with probability p, by the generated image at the
    same index, which has the same label. p adapts to E[sign D(x)] as in `ada`. It can be combined
    with `ada`; each then has its own p.

    Args:
        p: the probability at the start, or throughout if not `adaptive`.
        adaptive: whether p adapts to how confidently D recognises reals.
        target: value at which p tries to hold E[sign D(x)].
        interval: number of updates of D between two changes of p.
        speed: number of real images in which p can rise from 0 to 1; the authors use 100000 when
            resuming.
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
