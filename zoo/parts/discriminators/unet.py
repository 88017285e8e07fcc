"""The U-Net discriminator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.head import HeadFactory
from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.sizes import ImageSize, check_image_size, height_width
from zoo.contracts.update import Update
from zoo.core.distributed import process_count
from zoo.layers.cutmix import cutmix_masks, mix
from zoo.layers.init import orthogonal, redraw
from zoo.layers.linear import Conv2d, Embedding, Linear
from zoo.layers.patches import PatchScore
from zoo.layers.resnet import DiscriminatorBlock
from zoo.layers.shapes import check_labels, halvings
from zoo.registry import at_least, discriminator, idle_when


@discriminator("unet")
class UNetDiscriminator(Discriminator):
    """U-Net: an encoder that scores the whole image, a decoder with skips that scores each pixel.

    BigGAN's blocks lead down to a map of about 4x4, whose sum over positions gives the score of the
    whole image. From there, blocks without norm lead up again; each but the first also takes the
    encoder's map of its size. A 1x1 convolution gives one logit per pixel; all other layers have
    spectral norm. With classes, a projection on the label is added at both ends. There is no
    attention, as in the authors' scripts.

    The paper's loss is that of the whole image plus the mean over its pixels. The training step
    averages over scores (N, K), so they hold the image's logit, repeated once per pixel, followed
    by the pixels' logits: K = 2·H·W, and their mean is half the paper's loss. The terms below are
    halved accordingly, so that Adam sees no difference.

    D's own updates mix reals and fakes by rectangles (CutMix), as D saw them. `cutmix` is the cross
    entropy with the mask as the pixels' targets and "fake" as the image's; `consistency` is
    ‖D(mix(x, G(z))) - mix(D(x), D(G(z)))‖² over pixels. Both weights rise linearly over the first
    `ramp` images; the authors instead apply the terms at random with rising probability.

    Paper: Schönfeld et al. (2020), arXiv:2002.12655.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        num_classes: number of classes; 0 for none.
        head: must be None, since the network computes its own scores.
        base_channels: number of channels of the first map, doubling up to 8 times that, and to 16
            times in the last map if there are five halvings or more.
        cutmix: weight of the cross entropy on mixed images; 0 disables it.
        consistency: weight of the consistency on mixed images; 0 disables it.
        ramp: number of images over which both weights rise from 0.
    """

    seen: Tensor

    takes_head = False
    several_scores = True
    auxiliary_names = ("cutmix", "consistency")
    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        num_classes: int = 0,
        head: str | HeadFactory | None = None,
        base_channels: Annotated[int, at_least(1)] = 64,
        cutmix: Annotated[float, at_least(0)] = 1.0,
        consistency: Annotated[float, at_least(0)] = 1.0,
        ramp: Annotated[int, at_least(0), idle_when(cutmix=0.0, consistency=0.0)] = 0,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator unet", image_size, oblong=True)
        self.cutmix = cutmix
        self.consistency = consistency
        self.ramp = ramp
        levels = min(halvings(side)[1] for side in height_width(image_size))
        widths = [base_channels * min(2**i, 8) for i in range(levels - 1)]
        widths.append(base_channels * (16 if levels >= 5 else 2 ** (levels - 1)))
        self.down = nn.ModuleList(
            DiscriminatorBlock(narrow, wide, True, i == 0, True, wide=True)
            for i, (narrow, wide) in enumerate(zip([channels, *widths], widths, strict=False))
        )
        # From the deepest map up; each block has the width of the encoder's map of its size.
        outputs = [*widths[-2::-1], base_channels]
        inputs = [widths[-1], *(2 * width for width in outputs[:-1])]
        self.up = nn.ModuleList(UpBlock(a, b) for a, b in zip(inputs, outputs, strict=True))
        self.score = Linear(widths[-1], 1, spectral_norm=True)
        self.embedding = Embedding(num_classes, widths[-1], True) if num_classes else None
        redraw(self, orthogonal)
        self.pixels = PatchScore(nn.Conv2d(base_channels, 1, 1), num_classes, spectral_norm=True)
        redraw(self.pixels, orthogonal)
        # Unused, as in the authors' network; kept so that parameter counts and weights match.
        self.linear = nn.Linear(base_channels, 1).requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def features(self, x: Tensor) -> Tensor:
        return _pooled(self._encode(x)[-1])

    def _encode(self, x: Tensor) -> list[Tensor]:
        maps = [x]
        for block in self.down:
            maps.append(block(maps[-1]))
        return maps[1:]

    def outputs(self, x: Tensor, y: Tensor | None = None) -> DiscriminatorOutput:
        """Return scores (N, 2·H·W) as described above; `extra` has pixel logits and D's input."""
        if self.num_classes:
            y = check_labels(self, y)
        maps = self._encode(x)
        features = _pooled(maps[-1])
        whole = self.score(features).squeeze(1)
        if self.embedding is not None:
            whole = whole + (self.embedding(y) * features).sum(1)
        h = maps.pop()
        for block in self.up:
            h = block(h)
            if maps:
                h = torch.cat([h, maps.pop()], dim=1)
        pixels = self.pixels(h, y)
        flat = pixels.flatten(1)
        scores = torch.cat([whole[:, None].to(flat.dtype).expand_as(flat), flat], dim=1)
        return DiscriminatorOutput(scores, features, {"pixels": pixels, "seen": x.detach()})

    def auxiliary(self, update: Update) -> dict[str, Tensor]:
        """Return the losses on mixed images, in D's updates."""
        if update.side != "discriminator" or not (self.cutmix or self.consistency):
            return {}
        assert update.real_output is not None
        real, fake = update.real_output.extra, update.fake_output.extra
        masks = cutmix_masks(real["seen"])
        # D has seen these images augmented; they must not be augmented a second time.
        mixed = mix(masks, real["seen"], fake["seen"])
        output = update.discriminate(mixed, update.labels, augmented=False)
        weight = self._ramped(len(masks))
        terms = {}
        if self.cutmix:
            pixels = masks.flatten(1)
            targets = torch.cat([torch.zeros_like(pixels), pixels], dim=1)
            loss = F.binary_cross_entropy_with_logits(output.scores, targets.to(output.scores))
            terms["cutmix"] = self.cutmix * weight * loss
        if self.consistency:
            expected = mix(masks, real["pixels"], fake["pixels"])
            difference = (output.extra["pixels"] - expected).float()
            terms["consistency"] = self.consistency / 2 * weight * difference.square().mean()
        return terms

    def _ramped(self, n: int) -> Tensor:
        """Return the current fraction of the weights, and count the `n` images of this update."""
        share = (self.seen / self.ramp).clamp(max=1) if self.ramp else torch.ones_like(self.seen)
        self.seen += n * process_count()
        return share.float()


class UpBlock(nn.Module):
    """ReLU, upsample, 3x3 conv, ReLU, 3x3 conv; plus an upsampled 1x1 shortcut; no norm.

    Maps (N, inputs, H, W) to (N, outputs, 2H, 2W). All convolutions have spectral norm.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv2d(inputs, outputs, 3, padding=1, resample="upsample", spectral_norm=True)
        self.conv2 = Conv2d(outputs, outputs, 3, padding=1, spectral_norm=True)
        self.shortcut = Conv2d(inputs, outputs, 1, spectral_norm=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.relu(x))
        h = self.conv2(F.relu(h, inplace=True))
        return h + F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")


def _pooled(maps: Tensor) -> Tensor:
    """Return the sum over positions of the ReLU of maps (N, C, H, W), (N, C), in fp32 at least."""
    dtype = torch.promote_types(maps.dtype, torch.float32)
    return F.relu(maps).sum((2, 3), dtype=dtype)
