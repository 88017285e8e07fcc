"""The record of one update of D or G that heads, regularizers and augmentations receive."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput, Side
from zoo.layers.moving import share_of_piece
from zoo.layers.precision import full_precision


class Discriminate(Protocol):
    """Scores images with D; see `Update.discriminate`."""

    def __call__(
        self, images: Tensor, labels: Tensor | None, augmented: bool = True
    ) -> DiscriminatorOutput: ...


class Generate(Protocol):
    """Makes `n` images with G; see `Update.generate`."""

    def __call__(self, n: int, labels: Tensor | None = None) -> GeneratorOutput: ...


@dataclass(eq=False, kw_only=True)
class Update:
    """What an update has computed so far, for the methods that add to it.

    Attributes:
        side: The network that is being updated.
        generator, discriminator: The networks (a `Generator` and a `Discriminator`). In G's update,
            D's parameters take no gradient.
        real: Real images (N, C, H, W).
        labels: The labels (N,), int64, of both reals and fakes; None without classes.
        generated: The output of G: detached in D's update, with its graph in G's.
        real_output: The output of D for the reals. In G's update it is detached, and None if
            neither the loss nor the head nor a regularizer that is due needs it.
        fake_output: The output of D for the fakes. Scores are at least fp32.
        discriminate: Runs D as the step itself does, in the same precision; `augmented=False`
            skips the augmentations.
        randoms: Context managers by "real" or "fake", for a regularizer that `repeats` that pass.
            Within one, D draws the same random numbers as in the step's own pass, which was then
            computed in fp32. Empty for a compiled pass.
        generate: Makes new images with G, with a graph in G's update if gradients are enabled.
        loss_scale: The factor by which all gradients are scaled during the backward pass: the
            factor of the gradient scaler under fp16, otherwise 1.
        piece, pieces: The index, from 0, and the number of the pieces of this update's batch. With
            gradient accumulation, hooks are called for each piece. A hook that counts updates
            should count only the last piece (`is_last`), and a moving average should advance by
            `share_of_piece` with each.
    """

    side: Side
    generator: nn.Module
    discriminator: nn.Module
    real: Tensor
    labels: Tensor | None
    generated: GeneratorOutput
    real_output: DiscriminatorOutput | None
    fake_output: DiscriminatorOutput
    discriminate: Discriminate
    generate: Generate
    randoms: Mapping[str, AbstractContextManager[object]] = field(default_factory=dict)
    loss_scale: Tensor | float = 1.0
    piece: int = 0
    pieces: int = 1
    _gradients: dict[str, Tensor] = field(default_factory=dict)

    @property
    def is_last(self) -> bool:
        """Whether this is the last piece of the update's batch."""
        return self.piece == self.pieces - 1

    def share_of_piece(self, share: float) -> float:
        """Return the step of a moving average for one piece, given its step `share` per update."""
        return share_of_piece(share, self.pieces)

    def real_gradient(self) -> Tensor:
        """Return the gradient of D's score with respect to the reals: (M, C*H*W), differentiable.

        If D gives an image several scores, their mean is differentiated, as in the loss, so that
        gradients have the same scale for one score and for many patches.

        The gradient is taken through the step's own pass if a regularizer that is due lists "real"
        in `differentiates`, otherwise through an extra pass; in both cases in fp32.
        """
        return self._own_gradient("real", self.real, self.real_output)

    def fake_gradient(self) -> Tensor:
        """Like `real_gradient`, with respect to the fakes, which are treated as constants."""
        return self._own_gradient("fake", self.generated.images, self.fake_output)

    def gradient(self, images: Tensor) -> Tensor:
        """Return the gradient (M, C*H*W) of D's score with respect to any images (N, C, H, W).

        The images are scored under the update's labels in an extra fp32 pass, with augmentations.
        They are treated as constants.
        """
        images = widen(images.detach()).requires_grad_()
        with full_precision(images.device):
            scores = self.discriminate(images, self.labels).scores
        return _input_gradient(scores, images)

    def _own_gradient(
        self, which: str, images: Tensor, output: DiscriminatorOutput | None
    ) -> Tensor:
        if which not in self._gradients:
            if output is not None and images.is_leaf and images.requires_grad:
                self._gradients[which] = _input_gradient(output.scores, images)
            else:
                self._gradients[which] = self.gradient(images)
        return self._gradients[which]


def widen(tensor: Tensor) -> Tensor:
    """Convert half precision to fp32; leave fp32 and fp64 as they are."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def image_scores(scores: Tensor) -> Tensor:
    """Reduce scores (M, ...) to one per image, (M,), by averaging those of each image."""
    return scores if scores.dim() == 1 else scores.flatten(1).mean(1)


def _input_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """Return the gradient of each mean score (M,), one row each; a row covers a whole pack."""
    with full_precision(images.device):
        total = image_scores(scores).sum()
        (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient.reshape(len(scores), -1)
