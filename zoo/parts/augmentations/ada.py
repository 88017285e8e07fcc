"""Adaptive discriminator augmentation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor

from zoo.contracts.update import widen
from zoo.core.errors import ZooError, listing, suggest
from zoo.layers import ada
from zoo.layers.precision import full_precision
from zoo.parts.augmentations.adaptive import AdaptiveAugmentation
from zoo.registry import above, at_least, augmentation, between, idle_when

_GROUPS = {  # in the order in which they are applied
    "blit": ("xflip", "rotate90", "xint"),
    "geometry": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("bands",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
_SETS = {name: (name,) for name in _GROUPS} | {
    "bg": ("blit", "geometry"),
    "bgc": ("blit", "geometry", "color"),
    "bgcf": ("blit", "geometry", "color", "filter"),
    "bgcfn": ("blit", "geometry", "color", "filter", "noise"),
    "bgcfnc": tuple(_GROUPS),
    "bc": ("blit", "color"),
}
_NAMES = tuple(name for names in _GROUPS.values() for name in names)


@augmentation("ada")
class ADA(AdaptiveAugmentation):
    """Adaptive discriminator augmentation (ADA): transforms applied more often as D overfits.

    Paper: Karras et al. (2020), arXiv:2006.06676.

    Each transform changes an image with probability m p, where m is the transform's multiplier. p
    rises while E[sign D(x)] is above `target` and falls while it is below (`adaptive.py`). Order,
    ranges and constants follow the paper, with two differences: flips, quarter turns and
    whole-pixel shifts move pixels exactly, and the other geometric transforms are one bilinear
    resampling with reflected edges instead of wavelet filtering at twice the size. Computed in
    fp32.

    Args:
        set: transforms with multiplier 1: a group (`blit`: flip, quarter turns, whole-pixel shifts;
            `geometry`; `color`; `filter`; `noise`; `cutout`) or a union named by the groups' first
            letters; the paper recommends `bgc`, and `bc` is the cheapest on a CPU.
        multipliers: multipliers of single transforms, which override or extend the set: xflip,
            rotate90, xint, scale, rotate, aniso, xfrac, brightness, contrast, lumaflip, hue,
            saturation, bands, noise, cutout.
        p: the probability at the start, or throughout if not `adaptive`.
        adaptive: whether p adapts to how confidently D recognises reals; set it to false for a
            fixed or a scheduled p.
        target: value at which p tries to hold E[sign D(x)].
        interval: number of updates of D between two changes of p.
        speed: number of real images in which p can rise from 0 to 1; the authors use 100000 when
            resuming.
    """

    def __init__(
        self,
        set: Literal[
            "blit", "geometry", "color", "filter", "noise", "cutout",
            "bg", "bgc", "bgcf", "bgcfn", "bgcfnc", "bc",
        ] = "bgc",
        multipliers: dict[str, Annotated[float, at_least(0)]] | None = None,
        p: Annotated[float, at_least(0)] = 0.0,
        adaptive: bool = True,
        target: Annotated[float, between(-1, 1), idle_when(adaptive=False)] = 0.6,
        interval: Annotated[int, at_least(1), idle_when(adaptive=False)] = 4,
        speed: Annotated[float, above(0), idle_when(adaptive=False)] = 500_000.0,
    ) -> None:  # fmt: skip
        super().__init__(p, adaptive, target, interval, speed)
        chosen = {name: 1.0 for group in _SETS[set] for name in _GROUPS[group]}
        for name, factor in (multipliers or {}).items():
            if name not in _NAMES:
                raise ZooError(
                    f"augmentation ada: multipliers names {name!r}, which is not a transform."
                    f"{suggest(name, _NAMES)} Choices: {listing(_NAMES)}."
                )
            chosen[name] = factor
        self.multipliers = {name: chosen[name] for name in _NAMES if chosen.get(name)}
        self.band_filter = ada.BandFilter()
        changes: dict[str, Callable[[Tensor, ada.Gate], Tensor]] = {
            "blit": ada.blit,
            "geometry": ada.geometry,
            "color": ada.color,
            "filter": self.band_filter,
            "noise": ada.noise,
            "cutout": ada.cutout,
        }
        self._changes = [
            changes[group]
            for group, names in _GROUPS.items()
            if any(name in self.multipliers for name in names)
        ]

    @property
    def acts(self) -> bool:
        return super().acts and bool(self.multipliers)

    def forward(self, images: Tensor) -> Tensor:
        with full_precision(images.device):
            x = widen(images)

            def on(name: str) -> Tensor:
                return self._gate(name, x)

            for change in self._changes:
                x = change(x, on)
        return x.to(images.dtype)

    def _gate(self, name: str, x: Tensor) -> Tensor:
        """Draw which images a transform changes, (N,) bool."""
        probability = self.multipliers.get(name, 0.0) * self.p
        if name == "rotate":  # drawn twice, and together as likely as any other transform
            probability = 1 - (1 - probability).clamp(0, 1).sqrt()
        return torch.rand(len(x), device=x.device) < probability
