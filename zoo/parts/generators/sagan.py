"""The SAGAN generator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.contracts.sizes import ImageSize, check_image_size
from zoo.layers.biggan import GeneratorBody, generator_widths
from zoo.layers.init import initialise
from zoo.layers.shapes import check_labels, common_halvings, one_hot
from zoo.registry import at_least, generator


@generator("sagan")
class SAGANGenerator(Generator):
    """SAGAN: residual blocks with conditional batch norm, self-attention, spectral norm throughout.

    This is the body of `biggan`, with the whole latent in the first layer and the one-hot label as
    the condition of every block; without classes the batch norms are unconditional. Up to 32
    pixels, all maps have 4 times `base_channels` channels; above, `base_channels` before the image
    and up to 16 times that.

    Paper: Zhang et al. (2019), arXiv:1805.08318.

    As in StudioGAN, the maps to the gains and biases of the batch norms are spectrally normalised
    too and initialised like the other weights (so that labels matter from the first step), and the
    epsilon of batch norm is 1e-4.

    Args:
        image_size: side in pixels, or (height, width); multiples of 4, at least 8.
        channels: number of image channels.
        latent_dim: length of the latent; 128 in the paper.
        num_classes: number of classes; 0 for none.
        base_channels: base width, of which all widths are multiples.
        attention: (shorter) side of the map that self-attention is applied to; 0 for none, `auto`
            for half the image's side but at most 64.
        init: initialisation of all weights; `orthogonal` in StudioGAN, `xavier` in mimicry.
    """

    tiny: ClassVar[dict[str, Any]] = {"base_channels": 4}

    def __init__(
        self,
        image_size: ImageSize,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: Annotated[int, at_least(1)] = 64,
        attention: Annotated[int, at_least(0)] | Literal["auto"] = "auto",
        init: Literal["orthogonal", "xavier", "normal"] = "orthogonal",
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator sagan", image_size, oblong=True)
        height, width, doublings = common_halvings(self.height, self.width)
        self.body = GeneratorBody(
            (height, width),
            [m * base_channels for m in generator_widths(doublings)],
            first_dim=latent_dim,
            condition_dim=num_classes,
            channels=channels,
            attention=attention,
            part="generator sagan",
        )
        initialise(self, init)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        label = None
        if self.num_classes:
            label = one_hot(check_labels(self, y), self.num_classes).to(z.dtype)
        return self.body(z, [label] * len(self.body.blocks))
