"""The optimal-transport term of adversarial flow models."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, widen
from zoo.core.distributed import mean_over_processes
from zoo.core.errors import ZooError, at_least


class OptimalTransport(Regularizer):
    """Keeps images near their latents, so that of all maps G learns the one that moves least.

    Paper: Lin et al. (2025), arXiv:2511.22475.

    The loss `afm` brings it with `transport`; no part of the registry, as most networks cannot
    take it: latents need the images' shape.

    weight * E[(G(z) - z)^2], the mean over all values. So that the weight keeps its meaning while
    D's slopes change, whatever else reaches the images as a gradient is divided by the root of a
    moving average (0.9) of its squared norm times the number of values: it then has unit rms
    relative to a mean. Under fp16 so is what its gradient scaler scaled; gradients that overflow,
    whose update the scaler leaves out, leave the average as it was.

    Args:
        weight: lambda.
        normalize: divide the other gradients as said above.
    """

    sides = ("generator",)
    schedulable = ("weight",)

    average: Tensor
    begun: Tensor

    def __init__(self, weight: float = 0.2, normalize: bool = True) -> None:
        super().__init__()
        at_least(0, "loss afm: ", transport=weight)
        self.weight = weight
        self.normalize = normalize
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("begun", torch.zeros((), dtype=torch.bool))

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        values = generator.channels * generator.height * generator.width
        if generator.latent_dim != values:
            raise ZooError(
                "loss afm: transport moves latents to images of the same shape: "
                f"latent_dim={generator.latent_dim} must be {values}, the values of an image."
            )

    def forward(self, update: Update) -> Tensor:
        images, z = update.generated.images, update.generated.z
        move = widen(images) - widen(z).detach().view_as(images)
        if self.normalize and images.requires_grad:
            own = (2 * self.weight / images.numel() * move).detach()
            images.register_hook(
                lambda gradient: self._normalized(gradient, own, update.pieces, update.loss_scale)
            )
        return self.weight * move.square().mean()

    @torch.no_grad()
    def _normalized(
        self, gradient: Tensor, own: Tensor, pieces: int, loss_scale: Tensor | float = 1.0
    ) -> Tensor:
        """The images' whole gradient, with all but this term's own brought to unit rms.

        Of each of the pieces of a batch it is that share of its own gradient.
        """
        others = widen(gradient) / loss_scale * pieces - own
        share = 1 - 0.9 ** (1 / pieces)
        square = mean_over_processes(others.square().sum() * others.numel()).to(self.average.dtype)
        moved = torch.where(self.begun, self.average.lerp(square, share), square)
        finite = square.isfinite()
        self.average.copy_(torch.where(finite, moved, self.average))
        self.begun.logical_or_(finite)
        scale = self.average.sqrt().clamp_min(torch.finfo(self.average.dtype).tiny)
        return ((others / scale + own) / pieces * loss_scale).to(gradient.dtype)
