"""The StyleGAN2 generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.fir import FIR
from zoo.layers.mapping import Mapping
from zoo.layers.modulation import StyledConv2d, ToImage
from zoo.layers.shapes import map_sizes
from zoo.parts.generators.styled import StyledGenerator
from zoo.registry import at_least, between, generator


class SynthesisBlock(nn.Module):
    """The layers of one resolution: an upsampling convolution, another convolution, and an image.

    From maps (N, inputs, H/2, W/2), the image so far and three styles to maps (N, outputs, H, W)
    and the upsampled image plus this block's own. The first block has no upsampling convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: int,
        style_dim: int,
        size: tuple[int, int],
        noise: bool,
        up: bool,
    ) -> None:
        super().__init__()
        self.up = StyledConv2d(inputs, outputs, style_dim, size, noise, up=True) if up else None
        self.conv = StyledConv2d(outputs, outputs, style_dim, size, noise)
        self.to_image = ToImage(outputs, channels, style_dim)
        self.fir = FIR(up=True)

    def forward(self, x: Tensor, image: Tensor | None, w: list[Tensor]) -> tuple[Tensor, Tensor]:
        if self.up is not None:
            x = self.up(x, w[0])
        x = self.conv(x, w[-2])
        added = self.to_image(x, w[-1])
        # Images are summed in fp32 at least, regardless of autocast.
        added = added.to(torch.promote_types(added.dtype, torch.float32))
        if image is None:
            return x, added
        with torch.autocast(added.device.type, enabled=False):
            return x, self.fir(image) + added


@generator("stylegan2")
class StyleGAN2Generator(StyledGenerator):
    """StyleGAN2: a learned constant, modulated convolutions with noise, and output skips.

    Paper: Karras et al. (2020), arXiv:1912.04958, arXiv:2006.06676.

    Maps with a longer side of r pixels have min(`base` / r, `max_channels`) channels. The defaults
    with `latent_dim=512` are those of the second paper for CIFAR-10; its configuration paper256 is
    `base=16384 mapping_layers=8 style_mixing=0.9`, and configuration F of the first paper is
    `mapping_layers=8 style_mixing=0.9`.

    Each class has its own mean style, where the authors keep a single one. In eval mode the noise
    is fixed, so that a latent always gives the same image; `set_noise` changes or removes it.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent; 512 in the papers.
        num_classes: number of classes; 0 for none.
        base: product of a map's channels and its longer side, before `max_channels` applies.
        max_channels: largest number of channels of a map.
        style_dim: width of the styles and of the mapping network's layers.
        mapping_layers: number of layers of the mapping network.
        style_mixing: probability, in training, that all layers from a random one on take the style
            of another latent; 0.9 in the papers on faces, 0 on CIFAR-10.
        noise: whether noise is added to the maps.
    """

    tiny: ClassVar[dict[str, Any]] = {"base": 256, "max_channels": 16, "style_dim": 16}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base: Annotated[int, at_least(1)] = 32768,
        max_channels: Annotated[int, at_least(1)] = 512,
        style_dim: Annotated[int, at_least(1)] = 512,
        mapping_layers: Annotated[int, at_least(1)] = 2,
        style_mixing: Annotated[float, between(0, 1)] = 0.0,
        noise: bool = True,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator stylegan2", image_size, oblong=True)
        self.style_mixing = style_mixing
        self.mapping = Mapping(latent_dim, style_dim, num_classes, mapping_layers, decay=0.995)
        sizes = map_sizes(self.height, self.width)[::-1]
        widths = [max(min(base // max(size), max_channels), 1) for size in sizes]
        self.constant = nn.Parameter(torch.randn(1, widths[0], *sizes[0]))
        self.blocks = nn.ModuleList(
            SynthesisBlock(narrow, wide, channels, style_dim, size, noise, up=i > 0)
            for i, (narrow, wide, size) in enumerate(
                zip([0, *widths[:-1]], widths, sizes, strict=True)
            )
        )
        self.styles = 2 * len(sizes)

    def synthesize(self, w: Tensor, y: Tensor | None = None) -> Tensor:
        layers = list(w.unbind(1))
        x, image = self.constant.expand(len(w), -1, -1, -1), None
        for i, block in enumerate(self.blocks):
            # The image of one block and the first convolution of the next share a style.
            x, image = block(x, image, layers[max(2 * i - 1, 0) : 2 * i + 2])
        return image  # type: ignore[return-value]

    @torch.no_grad()
    def set_noise(self, seed: int | None) -> None:
        """Redraw the noise used in eval mode from `seed`, or remove it if `seed` is None."""
        random = torch.Generator().manual_seed(seed or 0)
        for module in self.modules():
            if isinstance(module, StyledConv2d) and module.noise_map is not None:
                drawn = torch.randn(module.noise_map.shape, generator=random)
                module.noise_map.copy_(drawn if seed is not None else torch.zeros_like(drawn))
