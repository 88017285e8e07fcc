"""Gradient normalisation."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.contracts.outputs import DiscriminatorOutput
from zoo.contracts.regularizer import Pass, Regularizer
from zoo.contracts.update import widen
from zoo.core.errors import ZooError
from zoo.layers.precision import full_precision
from zoo.registry import regularizer


@regularizer("gradient_normalization")
class GradientNormalization(Regularizer):
    """Gradient normalisation: divides D's score by its gradient norm, which bounds D's slope by 1.

    Paper: Wu et al. (2021), arXiv:2109.02235.

    D'(x) = D(x) / (|grad D(x)| + |D(x)|) in every pass of both updates, in fp32; the gradient is
    taken with respect to D's input, after the augmentation. G's update needs a double backward pass
    as well.
    """

    sides = ("discriminator", "generator")
    per_sample = True
    one_score = True

    def __init__(self) -> None:
        super().__init__()

    @torch.compiler.disable
    def wrap_discriminator(
        self, inner: Pass, images: Tensor, labels: Tensor | None
    ) -> DiscriminatorOutput:
        with torch.enable_grad(), full_precision(images.device):
            x = widen(images)
            if not x.requires_grad:
                x = x.detach().requires_grad_()
            output = inner(x, labels)
            score = output.scores
            if score.dim() > 1:  # from a plugin that does not declare it; see `one_score`
                raise ZooError(
                    "regularizer gradient_normalization needs one score per image: a discriminator "
                    "that gives several has to declare `several_scores = True`."
                )
            (gradient,) = torch.autograd.grad(score.sum(), x, create_graph=True)
            norm = torch.linalg.vector_norm(gradient.reshape(len(score), -1), dim=1)
            size = norm + score.abs()
            # Avoids 0 / 0: a score of 0 without a slope, as of a dead ReLU, is not divided.
            size = torch.where(size > 0, size, 1.0)
            output = DiscriminatorOutput(score / size, output.features, output.extra)
        return output if torch.is_grad_enabled() else _without_graph(output)


def _without_graph(output: DiscriminatorOutput) -> DiscriminatorOutput:
    extra = {name: value.detach() for name, value in output.extra.items()}
    return DiscriminatorOutput(output.scores.detach(), output.features.detach(), extra)
