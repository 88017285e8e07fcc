"""The base class of adaptive augmentations, whose probability depends on how much D overfits."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.update import Update
from zoo.core.distributed import mean_over_processes, process_count


class AdaptiveAugmentation(Augmentation):
    """An augmentation applied with a probability `p`, which rises while D overfits to the reals.

    Paper: Karras et al. (2020), arXiv:2006.06676.

    Every `interval` updates of D, with r = E[sign D(x)] over these updates and all processes: p <-
    max(0, p + sign(r - target) * images / speed), where images is the number of real images since
    the last change. There is no upper bound. p and the running sums are tensors and are never read
    on the host.

    Args:
        p: the probability at the start, or throughout if not `adaptive`.
        adaptive: whether p adapts to r; a scheduled p does not.
        target: the value of r to hold.
        interval: number of updates of D between two changes.
        speed: number of real images in which p can rise from 0 to 1.
    """

    schedulable: ClassVar[tuple[str, ...]] = ("p",)

    p: Tensor
    signs: Tensor
    count: Tensor

    def __init__(
        self, p: float, adaptive: bool, target: float, interval: int, speed: float
    ) -> None:
        super().__init__()
        self.adaptive = adaptive
        self.moves = {"p": "adaptive=false"} if adaptive else {}
        self.target = target
        self.interval = interval
        self.speed = speed
        self.register_buffer("p", torch.tensor(float(p)))
        self.register_buffer("signs", torch.zeros(()))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @property
    def acts(self) -> bool:
        return self.adaptive or bool(self.p > 0)

    @torch.no_grad()
    def observe(self, update: Update) -> None:
        if not self.adaptive or update.real_output is None:
            return
        self.signs += update.real_output.scores.sign().mean().to(self.signs.dtype) / update.pieces
        if not update.is_last:
            return
        self.count += 1
        due = self.count % self.interval == 0
        images = len(update.real) * update.pieces * process_count() * self.interval
        r = mean_over_processes(self.signs) / self.interval
        moved = (self.p + (r - self.target).sign() * (images / self.speed)).clamp(min=0)
        self.p.copy_(torch.where(due, moved, self.p))
        self.signs.mul_(~due)
