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
    """Keep images near their latents, so that G learns the map that moves them least.

    Paper: Lin et al. (2025), arXiv:2511.22475.

    The loss `afm` adds this regularizer if its `transport` is above 0. It is not registered as a
    part, since most networks cannot use it: latents need the shape of the images.

    weight * E[(G(z) - z)^2], the mean over all values. D's gradients change during training; so
    that the weight keeps its meaning, all other gradients that reach the images are divided by the
    root of a moving average (decay 0.9) of their squared norm times the number of values. They then
    have unit rms relative to a mean. Under fp16 this applies to what the gradient scaler scaled; if
    gradients overflow, in which case the scaler skips the update, the average is left as it was.

    Args:
        weight: lambda, the weight of the term.
        normalize: whether to rescale the other gradients as described above.
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
                "loss afm: transport needs latents of the images' shape: "
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
        """Return the images' gradient, with all but this term's own part rescaled to unit rms.

        Args:
            gradient: total gradient with respect to the images, as the backward pass computes it.
            own: gradient of this term.
            pieces: number of pieces into which the batch is split; each contributes its share.
            loss_scale: factor by which the gradient scaler has multiplied the losses.
        """
        rest = widen(gradient) / loss_scale * pieces - own
        share = 1 - 0.9 ** (1 / pieces)
        square = mean_over_processes(rest.square().sum() * rest.numel()).to(self.average.dtype)
        moved = torch.where(self.begun, self.average.lerp(square, share), square)
        finite = square.isfinite()
        self.average.copy_(torch.where(finite, moved, self.average))
        self.begun.logical_or_(finite)
        scale = self.average.sqrt().clamp_min(torch.finfo(self.average.dtype).tiny)
        return ((rest / scale + own) / pieces * loss_scale).to(gradient.dtype)
