"""Instance noise."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.augmentation import Augmentation
from zoo.registry import at_least, augmentation


@augmentation("instance_noise")
class InstanceNoise(Augmentation):
    """Instance noise: Gaussian noise on all of D's inputs, so that reals and fakes overlap.

    Paper: Sønderby et al. (2017), arXiv:1610.04490.

    x + sigma n, n ~ N(0, I), with the same sigma for reals and fakes. The paper lowers sigma to 0
    during training: `model.schedules: {augmentation.instance_noise.sigma: {name: linear, start:
    0.1, end: 0, images: …}}`.

    Args:
        sigma: standard deviation, in units of the images' range [-1, 1].
    """

    schedulable = ("sigma",)

    def __init__(self, sigma: Annotated[float, at_least(0)] = 0.1) -> None:
        super().__init__()
        self.sigma = sigma

    @property
    def acts(self) -> bool:
        return bool(self.sigma > 0)

    def forward(self, images: Tensor) -> Tensor:
        return images + self.sigma * torch.randn_like(images)
