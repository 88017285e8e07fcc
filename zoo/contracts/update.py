"""What an update of D or G hands to heads, regularizers, augmentations and auxiliary losses."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput, Side
from zoo.layers.moving import share_of_piece


class Discriminate(Protocol):
    def __call__(
        self, images: Tensor, labels: Tensor | None, augmented: bool = True
    ) -> DiscriminatorOutput: ...


class Generate(Protocol):
    def __call__(self, n: int, labels: Tensor | None = None) -> GeneratorOutput: ...


@dataclass(eq=False, kw_only=True)
class Update:
    """What an update already computed, for whatever adds to it.

    Attributes:
        side: whose update it is.
        generator, discriminator: the networks (a `Generator`, a `Discriminator`); D's parameters
            take no gradient in G's update.
        real: real images (N, C, H, W).
        labels: (N,) int64 of reals and fakes alike, or None.
        generated: what G made; in D's update without a graph, in G's with one.
        real_output: what D said of the reals; in G's update constants, and None where neither loss
            nor head needs them.
        fake_output: what D said of the fakes. Scores are fp32 at least.
        discriminate: a pass of D like the step's own, in the same precision; `augmented=False`
            shows D the images as they are.
        randoms: by "real" or "fake", where a due regularizer `repeats` that pass and it was not
            compiled: what to enter so that D draws the random numbers of the step's own pass, which
            was in fp32 then.
        generate: new images of G, with a graph where gradients are on and it is G's update.
        loss_scale: what gradients are larger by within the backward pass: 1, but under fp16 what
            its gradient scaler multiplies losses by.
        piece, pieces: the batch of an update may be shared into pieces, of each of which the hooks
            are told; this is the how many-th, from 0. What counts updates counts the last one
            (`is_last`); a moving average goes `share_of_piece` of its way at each.
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
        """Whether the update ends with this piece."""
        return self.piece == self.pieces - 1

    def share_of_piece(self, share: float) -> float:
        """How far a moving average goes at one piece, if it goes by `share` at an update."""
        return share_of_piece(share, self.pieces)

    def real_gradient(self) -> Tensor:
        """d D(real) / d real, (M, C*H*W), itself differentiable; in fp32.

        Of several scores of an image D is the mean, as in the loss: a slope then says the same of
        a critic of one score and of one of many patches.

        From the step's own pass where a due regularizer asked for it by `differentiates`, else by a
        pass of its own.
        """
        return self._own_gradient("real", self.real, self.real_output)

    def fake_gradient(self) -> Tensor:
        """d D(fake) / d fake, (M, C*H*W), as `real_gradient`; fakes are taken as constants."""
        return self._own_gradient("fake", self.generated.images, self.fake_output)

    def gradient(self, images: Tensor) -> Tensor:
        """d D(images) / d images, (M, C*H*W), for any images under the update's labels.

        A pass of its own, in fp32 and through the augmentation; `images` are taken as constants.
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
    """The tensor in fp32 at least: half precisions are widened, doubles kept."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def image_scores(scores: Tensor) -> Tensor:
    """Scores (M, ...) as one an image, (M,): the mean of its own."""
    return scores if scores.dim() == 1 else scores.flatten(1).mean(1)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off where it is on."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _input_gradient(scores: Tensor, images: Tensor) -> Tensor:
    """One row an image's mean score, also where D sees several images as one."""
    with full_precision(images.device):
        total = image_scores(scores).sum()
        (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    return gradient.reshape(len(scores), -1)
