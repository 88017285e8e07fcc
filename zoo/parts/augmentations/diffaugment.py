"""The augmentation of DiffAugment."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.augmentation import Augmentation
from zoo.registry import augmentation, between, idle_when


@augmentation("diffaugment")
class DiffAugment(Augmentation):
    """DiffAugment: differentiable colour jitter, translation and cutout against overfitting of D.

    Paper: Zhao et al. (2020), arXiv:2006.10738.

    Applied in the order colour (brightness, saturation, contrast), translation, cutout, with random
    numbers drawn per image. Pixels moved in from outside the image or cut out become 0, the middle
    of [-1, 1].

    Args:
        color: whether to shift brightness by up to 0.5 and scale saturation by 0 to 2 and contrast
            by 0.5 to 1.5.
        color_probability: probability that an image's colours are changed at all; 1 in the paper.
        translation: largest shift as a fraction of the image size; 0 disables it.
        cutout: side of the square cut out, as a fraction of the image size; 0 disables it; 0.5 in
            the paper, 0.2 where few images leave little to cut.
    """

    def __init__(
        self,
        color: bool = True,
        translation: Annotated[float, between(0, 1)] = 0.125,
        cutout: Annotated[float, between(0, 1)] = 0.5,
        color_probability: Annotated[float, between(0, 1), idle_when(color=False)] = 1.0,
    ) -> None:
        super().__init__()
        self.color = color
        self.color_probability = color_probability
        self.translation = translation
        self.cutout = cutout

    @property
    def acts(self) -> bool:
        return bool((self.color and self.color_probability) or self.translation or self.cutout)

    def forward(self, images: Tensor) -> Tensor:
        if self.color:
            images = self._sometimes(self._recolor(images), images)
        if self.translation:
            images = self._translate(images)
        if self.cutout:
            images = self._cut(images)
        return images

    def _sometimes(self, changed: Tensor, x: Tensor) -> Tensor:
        """Take each image from `changed` with the colour probability, and else from `x`."""
        if self.color_probability == 1:
            return changed
        chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < self.color_probability
        return torch.where(chosen, changed, x)

    def _recolor(self, x: Tensor) -> Tensor:
        brightness, saturation, contrast = torch.rand(
            3, len(x), 1, 1, 1, device=x.device, dtype=x.dtype
        )
        x = x + (brightness - 0.5)
        gray = x.mean(dim=1, keepdim=True)
        x = gray + (x - gray) * (saturation * 2)
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        return mean + (x - mean) * (contrast + 0.5)

    def _translate(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        rows, row_inside = self._shifted(n, height, x.device)
        columns, column_inside = self._shifted(n, width, x.device)
        # A single gather on the flattened image, which supports a double backward pass.
        source = (rows[:, :, None] * width + columns[:, None, :]).view(n, 1, height * width)
        moved = x.flatten(2).gather(2, source.expand(n, channels, height * width)).view_as(x)
        return moved * (row_inside[:, None, :, None] & column_inside[:, None, None, :])

    def _shifted(self, n: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return source positions (n, size) of a random shift, and which lie inside the image."""
        reach = int(size * self.translation + 0.5)
        shift = torch.randint(-reach, reach + 1, (n, 1), device=device)
        source = torch.arange(size, device=device) - shift
        return source.clamp(0, size - 1), (source >= 0) & (source < size)

    def _cut(self, x: Tensor) -> Tensor:
        n, _, height, width = x.shape
        rows = self._cut_out(n, height, x.device)
        columns = self._cut_out(n, width, x.device)
        return x * ~(rows[:, None, :, None] & columns[:, None, None, :])

    def _cut_out(self, n: int, size: int, device: torch.device) -> Tensor:
        """Return a mask (n, size), true inside a random interval whose centre may be any pixel."""
        length = int(size * self.cutout + 0.5)
        center = torch.randint(0, size + (1 - length % 2), (n, 1), device=device)
        distance = torch.arange(size, device=device) - (center - length // 2)
        return (distance >= 0) & (distance < length)
