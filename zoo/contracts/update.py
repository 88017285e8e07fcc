"""What an update of D or G hands to its regularizers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(eq=False)
class Update:
    """What an update already computed, for regularizers to use.

    Attributes:
        discriminator, generator: the networks.
        real: images (N, C, H, W).
        fake: generated images (N, C, H, W); with a graph in the update of G only.
        labels: (N,) int64 of both, or None.
        real_scores, fake_scores: (N,) fp32, with a graph to the network that is updated; in an
            update of G, `real_scores` are constants, None where the loss does without them.
        augment: what images pass through before D.
    """

    discriminator: nn.Module
    generator: nn.Module
    real: Tensor
    fake: Tensor
    labels: Tensor | None
    real_scores: Tensor | None
    fake_scores: Tensor
    augment: Callable[[Tensor], Tensor]
    _gradients: dict[str, Tensor] = field(default_factory=dict)

    def real_gradient(self) -> Tensor:
        """d sum(D(real)) / d real, (N, C*H*W), itself differentiable; in fp32.

        From the step's own pass where a due regularizer asked for it by `differentiates`, else by a
        pass of its own.
        """
        return self._own_gradient("real", self.real, self.real_scores)

    def fake_gradient(self) -> Tensor:
        """d sum(D(fake)) / d fake, (N, C*H*W), as `real_gradient`; fakes are taken as constants."""
        return self._own_gradient("fake", self.fake, self.fake_scores)

    def gradient(self, images: Tensor) -> Tensor:
        """d sum(D(images)) / d images, (N, C*H*W), for any images under the update's labels.

        A pass of its own, in fp32 and through the augmentation; `images` are taken as constants.
        """
        images = widen(images.detach()).requires_grad_()
        with full_precision(images.device):
            scores = self.discriminator(self.augment(images), self.labels)
        return _input_gradient(scores, images)

    def _own_gradient(self, which: str, images: Tensor, scores: Tensor | None) -> Tensor:
        if which not in self._gradients:
            if scores is not None and images.is_leaf and images.requires_grad:
                self._gradients[which] = _input_gradient(scores, images)
            else:
                self._gradients[which] = self.gradient(images)
        return self._gradients[which]


def widen(tensor: Tensor) -> Tensor:
    """The tensor in fp32 at least: half precisions are widened, doubles kept."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Switch autocast off where it is on."""
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def _input_gradient(scores: Tensor, images: Tensor) -> Tensor:
    with full_precision(images.device):
        (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.flatten(1)
