"""The patch discriminator of pix2pix and CycleGAN."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.init import dcgan_init
from zoo.layers.patches import PatchScore
from zoo.layers.shapes import check_labels
from zoo.registry import at_least, between, discriminator


@discriminator("patchgan")
class PatchGANDiscriminator(Discriminator):
    """PatchGAN of pix2pix and CycleGAN: one logit per overlapping patch, averaged in the loss.

    `n_layers` 4x4 convolutions of stride 2 and one of stride 1, with norm and leaky ReLU, are
    followed by a 4x4 convolution to one channel. Each logit sees a patch of 16, 34, 70, 142 or 286
    pixels for `n_layers` 1 to 5; with 0 it sees one pixel (PixelGAN). At 256 pixels the paper's
    70x70 network gives 30x30 logits. Convolutions have a bias unless batch norm follows; the first
    is not followed by a norm.

    The paper conditions D on an image, concatenated to the input's channels. Here labels enter
    through a projection at every patch, which needs no extra image planes.

    Paper: Isola et al. (2016), arXiv:1611.07004.
    Paper: Zhu et al. (2017), arXiv:1703.10593.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8 and at least 3 ·
            2^n_layers.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: must be None, since the network computes its own scores.
        base_channels: number of channels of the first map, doubling up to 8 times that.
        n_layers: number of convolutions of stride 2, from 0 to 5.
        norm: kind of norm: `batch` as in pix2pix, `instance` as in CycleGAN; `auto` is `batch`, or
            `instance` with `per_sample`.
        per_sample: whether the training differentiates each image's score separately, as gradient
            penalties do; set from the chosen loss and regularizers.
    """

    takes_head = False
    several_scores = True
    tiny: ClassVar[dict[str, Any]] = {"base_channels": 8, "n_layers": 2}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 64,
        n_layers: Annotated[int, between(0, 5)] = 3,
        norm: Literal["auto", "batch", "instance", "none"] = "auto",
        per_sample: bool = False,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        part = "discriminator patchgan"
        deep = f" with n_layers={n_layers}"
        check_image_size(part + deep, image_size, minimum=max(8, 3 << n_layers), oblong=True)
        if norm == "auto":
            norm = "instance" if per_sample else "batch"
        bias = norm != "batch"
        norms = {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "none": nn.Identity}
        # Of all convolutions but the last; the PixelGAN has 1x1 convolutions instead.
        kernel, padding = (4, 1) if n_layers else (1, 0)
        strides = [*[2] * n_layers, 1] if n_layers else [1, 1]
        widths = [channels, *(base_channels * min(2**i, 8) for i in range(len(strides)))]
        layers: list[nn.Module] = []
        for i, (narrow, wide) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(narrow, wide, kernel, strides[i], padding, bias=bias or i == 0))
            if i > 0:
                layers.append(norms[norm](wide))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.layers = nn.Sequential(*layers)
        last_bias = bias or n_layers > 0  # public PixelGAN code has none with batch norm
        self.score = PatchScore(
            nn.Conv2d(widths[-1], 1, kernel, 1, padding, bias=last_bias), num_classes
        )
        self.apply(dcgan_init)

    def features(self, x: Tensor) -> Tensor:
        return _mean(self.layers(x))

    def outputs(self, x: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """Return scores (N, patches), row by row; features are means of the last hidden maps."""
        if self.num_classes:
            y = check_labels(self, y)
        h = self.layers(x)
        return DiscriminatorOutput(self.score(h, y).flatten(1), _mean(h), {})


def _mean(maps: Tensor) -> Tensor:
    return maps.mean((2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))
