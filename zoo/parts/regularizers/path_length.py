"""Path length regularization."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update
from zoo.core.distributed import mean_over_processes
from zoo.layers.precision import full_precision
from zoo.registry import above, at_least, at_most, regularizer


@regularizer("path_length")
class PathLength(Regularizer):
    """Path length (StyleGAN2): equal steps in style should change the image equally.

    Paper: Karras et al. (2020), arXiv:1912.04958.

    weight * E[(l - a)^2], l = sqrt(mean over layers of |J_w^T y|^2), y ~ N(0, I) / sqrt(H W), where
    a is the moving average of l over all processes; in fp32. For a generator without a mapping
    network, l is computed from the latents. The penalty generates its own images, a fraction of the
    batch.

    Args:
        weight: weight of the penalty.
        decay: fraction by which a moves towards the mean l each time.
        shrink: compute the penalty on 1/shrink of the batch.
        every: apply the penalty to every k-th update of G, with k times the weight.
    """

    sides = ("generator",)
    per_sample = True

    average: Tensor

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 2.0,
        decay: Annotated[float, above(0), at_most(1)] = 0.01,
        shrink: Annotated[int, at_least(1)] = 2,
        every: Annotated[int, at_least(1)] = 4,
    ) -> None:
        super().__init__(every)
        self.weight = weight
        self.decay = decay
        self.shrink = shrink
        self.register_buffer("average", torch.zeros(()))

    def forward(self, update: Update) -> Tensor:
        n = max(len(update.generated.z) // self.shrink, 1)
        labels = None if update.labels is None else update.labels[:n]
        with full_precision(update.generated.z.device):
            output = update.generate(n, labels)
            images, w = output.images, output.w
            if not w.requires_grad:  # without a mapping network the styles are the latents
                w = w.detach().requires_grad_()
                images = update.generator.synthesize(w, labels)  # type: ignore[operator]
            noise = torch.randn_like(images) / math.sqrt(images[0, 0].numel())
            (slope,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
        return self.penalty(slope, update.share_of_piece(self.decay))

    def penalty(self, slope: Tensor, share: float) -> Tensor:
        """Return the penalty for a gradient and move the average.

        Args:
            slope: J_w^T y, (N, W) or (N, layers, W).
            share: fraction by which the average moves.
        """
        layers = 1 if slope.dim() == 2 else slope.shape[1]
        # A saturated G has slope 0, where `vector_norm` has gradient 0 and a plain root gives NaN.
        lengths = torch.linalg.vector_norm(slope.flatten(1), dim=1) / math.sqrt(layers)
        with torch.no_grad():
            mean = mean_over_processes(lengths.mean())
            self.average.lerp_(mean.to(self.average.dtype), share)
        # Cloned, because the next update moves the average in place.
        return self.weight * (lengths - self.average.clone()).square().mean()
