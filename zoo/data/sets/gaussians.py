"""Points in the plane from a mixture of Gaussians, the simplest data on which modes can be seen."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from zoo.data.base import DataModule, Split
from zoo.registry import above, at_least, datamodule


@datamodule("gaussians")
class Gaussians(DataModule):
    """Points of 8 modes on a ring or 25 on a grid, as images of one pixel with two channels.

    The channels are x and y in [-1, 1], floats that are not rounded to 256 levels; every mode is a
    normal distribution. Use it with `model/generator=mlp` and `model/discriminator=mlp`. Samples
    are drawn as a scatter plot, and `task=evaluate` counts their modes.

    Paper: Metz, Poole, Pfau, Sohl-Dickstein (2016), arXiv:1611.02163.
    Paper: Srivastava et al. (2017), arXiv:1705.07761.

    Args:
        modes: `ring` for 8 modes at radius 0.75, or `grid` for 5 by 5 modes at distances of 0.4.
        train_val_test_split: the number of points in each split; the points are the same for every
            seed.
        spread: the standard deviation of every mode.
    """

    own_parts: tuple[Split, ...] = ("train", "val", "test")

    features: ClassVar[str | None] = "points"
    centers: Tensor

    def __init__(
        self,
        modes: Literal["ring", "grid"] = "ring",
        batch_size: Annotated[int, at_least(1)] = 64,
        train_val_test_split: list[Annotated[int, at_least(0)]] = [50000, 0, 10000],  # noqa: B006
        seed: int = 0,
        data_dir: str = "data",
        spread: Annotated[float, above(0)] = 0.02,
    ) -> None:
        self.centers = centers(modes)
        self.spread = spread
        super().__init__(
            "gaussians",
            image_size=1,
            channels=2,
            class_names=[str(mode) for mode in range(len(self.centers))],
            batch_size=batch_size,
            train_val_test_split=train_val_test_split,
            seed=seed,
            data_dir=data_dir,
        )
        self.sizes = dict(zip(("train", "val", "test"), train_val_test_split, strict=True))
        self.train_val_test_split = None  # `load` returns splits of exactly these sizes

    def load(self, split: Split) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(self.own_parts.index(split))
        shape = (self.sizes[split],)
        labels = torch.randint(len(self.centers), shape, generator=generator)
        noise = torch.randn((*shape, 2), generator=generator)
        points = self.centers[labels] + self.spread * noise
        return points[:, :, None, None], labels


def centers(modes: Literal["ring", "grid"]) -> Tensor:
    """Return the centres (K, 2) of the modes."""
    if modes == "ring":
        angles = torch.arange(8) * (2 * math.pi / 8)
        return 0.75 * torch.stack([angles.cos(), angles.sin()], dim=1)
    line = torch.linspace(-0.8, 0.8, 5)
    return torch.cartesian_prod(line, line)
