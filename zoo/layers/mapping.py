"""The mapping network, from latents and labels to styles, and the mean style.

Paper: Karras et al. (2019), arXiv:1812.04948; (2020), arXiv:1912.04958.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.core.errors import ZooError
from zoo.layers.equalized import EqualizedLinear
from zoo.layers.moving import MovingAverage
from zoo.layers.norm import second_moment_norm
from zoo.layers.shapes import check_labels, one_hot


class LabelMapping(nn.Module):
    """Labels (N,), embedded and normalised, through `layers` activated layers: (N, width)."""

    def __init__(self, num_classes: int, width: int, layers: int, lr: float = 0.01) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed = EqualizedLinear(num_classes, width)
        self.layers = nn.Sequential(
            *(EqualizedLinear(width, width, lr=lr, activate=True) for _ in range(layers))
        )

    def forward(self, y: Tensor) -> Tensor:
        with torch.autocast(y.device.type, enabled=False):
            embedded = self.embed(one_hot(y, self.num_classes).to(self.embed.weight.dtype))
            return self.layers(second_moment_norm(embedded))


class StyleMean(MovingAverage):
    """Mixin that keeps a moving mean of the styles of each class, for truncation.

    The module registers the buffer `style_mean` and calls `follow` in training.

    Attributes:
        num_classes: number of classes; 0 for none.
        decay: decay of the moving mean per pass over a whole batch; the passes over its pieces
            share it.
        style_mean: (max(num_classes, 1), W). This name has it averaged over processes before a
            checkpoint, and copied into the EMA.
    """

    num_classes: int
    decay: float
    style_mean: Tensor

    def classes(self, y: Tensor | None) -> Tensor:
        """Return labels (N,) as one-hot rows (N, num_classes), and class weights as they are."""
        return one_hot(check_labels(self, y), self.num_classes).to(self.style_mean.dtype)

    @torch.no_grad()
    def follow(self, w: Tensor, y: Tensor | None) -> None:
        """Update the mean of every class in the batch from styles (N, W) of labels (N,)."""
        w = w.to(self.style_mean.dtype)
        classes = self.classes(y) if self.num_classes else w.new_ones(len(w), 1)
        counts = classes.sum(0)[:, None]
        means = classes.T @ w / counts.clamp_min(1e-8)
        # The mean of a class that is not in the batch does not move.
        share = self.share_of_pass(1 - self.decay) * (counts > 0).to(w.dtype)
        self.style_mean.copy_(self.style_mean.lerp(means, share))

    def mean(self, y: Tensor | None, per_class: bool = True) -> Tensor:
        """Return the mean style of each label's class (N, W), or that of all classes (1, W)."""
        if self.num_classes and per_class:
            return self.classes(y) @ self.style_mean
        return self.style_mean.mean(0, keepdim=True)

    def truncated(
        self, w: Tensor, y: Tensor | None, amount: float, per_class: bool = True
    ) -> Tensor:
        """Return styles m + amount * (w - m), moved towards the mean style m.

        Args:
            w: styles (N, W).
            y: labels (N,), or None without classes.
            amount: psi, from 0 (the mean) to 1 (no change).
            per_class: whether m is the mean of the label's class instead of that of all classes,
                towards which classes lose their differences.
        """
        if not isinstance(amount, Tensor) and not 0 <= amount <= 1:
            raise ZooError(
                f"truncation={amount} must be from 0 to 1: it is the factor by which styles are "
                "moved to their mean."
            )
        mean = self.mean(y, per_class)
        return mean + amount * (w - mean)


class Mapping(StyleMean, nn.Module):
    """The mapping network w = f(z, y), with a moving mean of its styles.

    z and the label's embedding are each normalised to mean square 1, concatenated, and passed
    through `layers` linear layers with leaky ReLU, all in fp32 under autocast too. In training,
    each pass updates the mean style of every class in the batch.

    Args:
        latent_dim: length of z.
        width: width of w and of the hidden layers.
        num_classes: number of classes; 0 for none.
        layers: number of layers.
        decay: decay of the moving mean per pass over a whole batch.
        lr: multiplier of the layers' learning rate.
    """

    def __init__(
        self,
        latent_dim: int,
        width: int,
        num_classes: int,
        layers: int,
        decay: float,
        lr: float = 0.01,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.decay = decay
        self.embed = EqualizedLinear(num_classes, width) if num_classes else None
        inputs = [latent_dim + (width if num_classes else 0)] + [width] * (layers - 1)
        self.layers = nn.Sequential(
            *(EqualizedLinear(i, width, lr=lr, activate=True) for i in inputs)
        )
        self.register_buffer("style_mean", torch.zeros(max(num_classes, 1), width))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return w (N, width) of latents (N, latent_dim) and labels (N,).

        In training, also update the mean style of each label's class.
        """
        w = self.styles(z, y)
        if self.training:
            self.follow(w.detach(), y)
        return w

    def styles(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Return w (N, width) without updating the mean."""
        with torch.autocast(z.device.type, enabled=False):
            x = second_moment_norm(z.to(self.style_mean.dtype))
            if self.embed is not None:
                x = torch.cat([x, second_moment_norm(self.embed(self.classes(y)))], dim=1)
            return self.layers(x)

    @torch.no_grad()
    def measure(self, z: Tensor) -> None:
        """Replace the moving means by means over latents (M, latent_dim), one for each class."""
        for index in range(len(self.style_mean)):
            y = torch.full((len(z),), index, device=z.device)
            self.style_mean[index] = self.styles(z, y).mean(0)


def mix_styles(w: Tensor, other: Tensor, layers: int, probability: float) -> Tensor:
    """Return styles (N, layers, W): `w`, and with `probability` `other` from a random layer on.

    That layer is drawn on the device, once for the whole batch. Paper: Karras et al. (2019).
    """
    first = torch.randint(1, layers, (), device=w.device)
    mixes = torch.rand((), device=w.device) < probability
    later = (torch.arange(layers, device=w.device) >= first) & mixes
    return torch.where(later[None, :, None], other[:, None], w[:, None])
