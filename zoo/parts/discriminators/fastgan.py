"""The self-supervised discriminator of FastGAN."""

from __future__ import annotations

import importlib.util
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.sizes import ImageSize, height_width
from zoo.contracts.update import Update
from zoo.layers.fastgan import Decoder, DownBlock, SkipExcitation, activated, conv, fastgan_init
from zoo.layers.patches import PatchScore
from zoo.layers.perceptual import PerceptualDistance
from zoo.layers.pretrained import lite_package
from zoo.layers.shapes import check_labels, halvings
from zoo.layers.sizes import check_doublings
from zoo.registry import at_least, discriminator, idle_when

TOP = 6
"""Number of doublings from 4 to 256 pixels, to which larger images are reduced first."""

SIDE_IMAGE = 5
"""Number of doublings from 4 to 128 pixels, the size of the second path's image."""

EXCITES = 3
"""Number of halvings from a map to the one that it excites, of 1/8 of its side."""


@discriminator("fastgan")
class FastGANDiscriminator(Discriminator):
    """FastGAN: scores from the image and a small copy, with decoders as self-supervision on reals.

    At the published sizes each of the two paths gives 5x5 logits, (N, 50) in total, over which the
    loss averages. On real images, two decoders reconstruct the image from the last map of each
    path, and a third reconstructs a quarter of it from the matching quarter of the 16x16 map. The
    loss `reconstruction` is the mean over images of the sum of the three distances to the image
    that D saw. With classes, a projection on the label is added to every logit.

    Deviations: the published D receives, with each fake, a second image made by G; here the small
    image is the image itself, averaged down to 128 pixels (for images below 256, to half their
    side), for reals and fakes alike, as in lightweight-gan. The published distance is LPIPS, whose
    weights no package provides; here it is that of `zoo/layers/perceptual.py` on
    EfficientNet-Lite0's features, or the mean absolute difference of pixels. The quarter is drawn
    per image instead of per batch.

    Paper: Liu et al. (2021), arXiv:2101.04775.

    Args:
        image_size: side in pixels: 4, 5, 6 or 7 times a power of two from 8 to 256, that is 32, 40,
            48, 56, 64, … 1792.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: must be None, since the network computes its own scores.
        base_channels: width of the map of 64 pixels.
        decoder_channels: width of the decoders' last map.
        reconstruction: distance used for the reconstructions. `features` needs `pip install
            "gan-zoo[features]"`; `auto` is `features` if that is installed, else `pixels`; `none`
            disables the term.
        reconstruction_weight: weight of the reconstruction term.
    """

    takes_head = False
    several_scores = True
    auxiliary_names = ("reconstruction",)
    tiny: ClassVar[dict[str, Any]] = {
        "base_channels": 4,
        "decoder_channels": 4,
        "reconstruction": "pixels",
    }

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 64,
        decoder_channels: Annotated[int, at_least(1), idle_when(reconstruction="none")] = 32,
        reconstruction: Literal["auto", "features", "pixels", "none"] = "auto",
        reconstruction_weight: Annotated[
            float, at_least(0), idle_when(reconstruction="none")
        ] = 1.0,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        part = "discriminator fastgan"
        check_doublings(part, image_size)
        self.reconstruction_weight = reconstruction_weight
        first, doublings = halvings(height_width(image_size)[0])

        def width(level: int) -> int:
            """Return the width of the map of 4 · 2^level pixels, half that of the paper's table."""
            return max(int(base_channels * min(2.0 ** (4 - level), 16)), 1)

        top = min(doublings, TOP)
        stem: list[nn.Module] = [conv(channels, width(doublings), 3, 1, 1)]
        if doublings > TOP:
            stem = [conv(channels, width(doublings - 1), 4, 2, 1)]
        stem.append(nn.LeakyReLU(0.2, inplace=True))
        for level in range(doublings - 2, TOP - 1, -1):
            stem.append(activated(conv(width(level + 1), width(level), 4, 2, 1)))
        self.stem = nn.Sequential(*stem)
        self.downs = nn.ModuleList(
            DownBlock(width(level + 1), width(level)) for level in range(top - 1, 0, -1)
        )
        # The keys are the levels of the excited maps.
        self.excitations = nn.ModuleDict(
            {
                str(level): SkipExcitation(width(level + EXCITES), width(level))
                for level in range(1, top - EXCITES + 1)
            }
        )
        self.last = activated(conv(width(1), width(0), 1))
        self.score = PatchScore(conv(width(0), 1, 4), num_classes, spectral_norm=True)

        side = min(doublings - 1, SIDE_IMAGE)
        self.shrink = 2 ** (doublings - side)
        small: list[nn.Module] = [conv(channels, width(side), 4, 2, 1)]
        small.append(nn.LeakyReLU(0.2, inplace=True))
        for level in range(side - 2, 0, -1):
            small.append(activated(conv(width(level + 2), width(level + 1), 4, 2, 1)))
        self.small = nn.Sequential(*small)
        self.small_score = PatchScore(conv(width(2), 1, 4), num_classes, spectral_norm=True)

        ups = min(4, doublings - 1)
        self.target = first << (ups + 1)
        self.decoders = nn.ModuleDict()
        self.distance: nn.Module | None = None
        if reconstruction != "none":
            if reconstruction == "auto":
                reconstruction = "features" if _has_features() else "pixels"
            self.distance = DISTANCES[reconstruction](part)
            for name, level in (("whole", 1), ("small", 2), ("quarter", 2)):
                self.decoders[name] = Decoder(
                    width(level), channels, decoder_channels, 2 * first, ups
                )
        fastgan_init(self)

    def features(self, x: Tensor) -> Tensor:
        return _mean(self._trunk(x)[0])

    def _trunk(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps of 8 and of 16 pixels of the path that sees the image."""
        maps = [self.stem(x)]
        for down in self.downs:
            h = down(maps[-1])
            level = str(len(self.downs) - len(maps) + 1)
            if level in self.excitations:
                h = self.excitations[level](maps[-EXCITES], h)
            maps.append(h)
        return maps[-1], maps[-2]

    def outputs(self, x: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """Return the scores of both paths, row by row; `extra` holds the decoders' inputs."""
        if self.num_classes:
            y = check_labels(self, y)
        whole, middle = self._trunk(x)
        small = self.small(F.avg_pool2d(x, self.shrink))
        scores = [
            self.score(self.last(whole), y).flatten(1),
            self.small_score(small, y).flatten(1),
        ]
        extra = {}
        if self.distance is not None:
            # Twice the decoders' side if the image is large enough, so that a quarter fills it.
            step = max(self.height // (2 * self.target), 1)
            seen = F.avg_pool2d(x.detach(), step)
            extra = {"whole": whole, "small": small, "middle": middle, "seen": seen}
        return DiscriminatorOutput(torch.cat(scores, dim=1), _mean(whole), extra)

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Return the decoders' reconstruction loss on real images, in D's updates."""
        if update.side != "discriminator" or self.distance is None:
            return {}
        assert update.real_output is not None
        extra = update.real_output.extra
        seen = extra["seen"]
        which = torch.randint(4, (len(seen),), device=seen.device)
        whole = self._resized(seen)
        distance = (
            self.distance(self.decoders["whole"](extra["whole"]), whole)
            + self.distance(self.decoders["small"](extra["small"]), whole)
            + self.distance(
                self.decoders["quarter"](quarter(extra["middle"], which)),
                self._resized(quarter(seen, which)),
            )
        )
        return {"reconstruction": self.reconstruction_weight * distance.mean()}

    def _resized(self, images: Tensor) -> Tensor:
        """Return images at the decoders' side, averaged down or enlarged bilinearly."""
        if images.shape[-1] >= self.target:
            return F.avg_pool2d(images, images.shape[-1] // self.target)
        return F.interpolate(images, (self.target, self.target), mode="bilinear")


class PixelDistance(nn.Module):
    """Mean absolute difference of pixels for each image, (N,)."""

    def __init__(self, part: str) -> None:
        super().__init__()

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        return (x - target).abs().flatten(1).float().mean(1)


DISTANCES = {"features": PerceptualDistance, "pixels": PixelDistance}


def _has_features() -> bool:
    package = lite_package("tf_efficientnet_lite0")
    return package is not None and importlib.util.find_spec(package) is not None


def _mean(maps: Tensor) -> Tensor:
    return maps.mean((2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))


def quarter(maps: Tensor, which: Tensor) -> Tensor:
    """Return the quarter `which` of each map.

    Args:
        maps: (N, C, 2h, 2w).
        which: (N,), from 0 to 3, row by row.

    Returns:
        (N, C, h, w).
    """
    n, channels, height, width = maps.shape
    parts = maps.view(n, channels, 2, height // 2, 2, width // 2).permute(0, 2, 4, 1, 3, 5)
    return parts.flatten(1, 2)[torch.arange(n, device=maps.device), which]
