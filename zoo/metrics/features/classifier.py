"""A small convolutional classifier of images up to 32x32, and the loop that trains it.

It is the network of the embedded features `mnist`, `fashion_mnist` and `cifar10`, and the one that
the classification accuracy score trains on generated images.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_SIZE = 32
FEATURES = 128


def fit_input(images: Tensor) -> Tensor:
    """Bring images (N, C, H, W) to 32x32.

    Images of 28x28 are padded with two rows and columns of zeros on every side, as in the data sets
    of the MNIST family. All others are resized bilinearly with antialiasing, without preserving
    their aspect ratio.
    """
    size = tuple(images.shape[-2:])
    if size == (INPUT_SIZE, INPUT_SIZE):
        return images
    if size == (28, 28):
        return F.pad(images, (2, 2, 2, 2))
    return F.interpolate(
        images, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", antialias=True, align_corners=False
    )


class SmallClassifier(nn.Module):
    """A network of four convolutions and two linear layers.

    It has 390,000 weights and needs 5 million multiplications per image.

    Args:
        channels: the number of channels of the images.
        num_classes: the number of classes.
        batch_norm: whether to use batch norm between layers, as in training. `fuse` returns an
            equivalent network without it, which is the one that is stored and used.
    """

    def __init__(self, channels: int = 1, num_classes: int = 10, batch_norm: bool = True) -> None:
        super().__init__()
        self.channels = channels
        self.num_classes = num_classes
        widths = [channels, 32, 64, 64, 128]
        kernels = [5, 3, 3, 3]
        strides = [2, 2, 1, 2]
        convs = [
            nn.Conv2d(widths[i], widths[i + 1], kernels[i], strides[i], padding=kernels[i] // 2)
            for i in range(4)
        ]
        self.convs = nn.Sequential(*convs)
        self.hidden = nn.Linear(128 * 4 * 4, FEATURES)
        self.classify = nn.Linear(FEATURES, num_classes)
        self.norms = nn.Sequential(
            *(nn.BatchNorm2d(w) if batch_norm else nn.Identity() for w in widths[1:])
        )
        self.hidden_norm: nn.Module = nn.BatchNorm1d(FEATURES) if batch_norm else nn.Identity()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, C, S, S) in [0, 1] to features (N, 128) and logits (N, num_classes)."""
        x = fit_input(images) * 2 - 1
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        features = F.relu(self.hidden_norm(self.hidden(x.flatten(1))))
        dropped = F.dropout(features, 0.3, self.training)
        return features, self.classify(dropped)

    def fuse(self) -> SmallClassifier:
        """Return the network in eval mode with batch norm folded into the weights."""
        self.eval()
        fused = SmallClassifier(self.channels, self.num_classes, batch_norm=False).eval()
        weights = dict(self.state_dict())
        for i in range(len(self.convs)):
            _fold(weights, f"convs.{i}", f"norms.{i}")
        _fold(weights, "hidden", "hidden_norm")
        fused.load_state_dict(weights)
        return fused


def _fold(weights: dict[str, Tensor], layer: str, norm: str, eps: float = 1e-5) -> None:
    """Fold the scale and shift of a batch norm into the layer before it, and remove the norm."""
    scale, shift, mean, variance = (
        weights.pop(f"{norm}.{name}") for name in ("weight", "bias", "running_mean", "running_var")
    )
    weights.pop(f"{norm}.num_batches_tracked")
    factor = scale / (variance + eps).sqrt()
    weight = weights[f"{layer}.weight"]
    weights[f"{layer}.weight"] = weight * factor.view(-1, *[1] * (weight.ndim - 1))
    weights[f"{layer}.bias"] = (weights[f"{layer}.bias"] - mean) * factor + shift


def train_classifier(
    network: SmallClassifier,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: float,
    seed: int,
    batch_size: int = 128,
    learning_rate: float = 4e-3,
    augment: Callable[[Tensor], Tensor] | None = None,
    report: Callable[[int, int, float], None] | None = None,
) -> None:
    """Train `network` in place with AdamW and a one-cycle schedule, on the device of the images.

    Args:
        network: the classifier.
        images: uint8 (N, C, H, W).
        labels: int64 (N,).
        epochs: the number of passes over the images, possibly fractional.
        seed: the seed of the order of the images.
        batch_size: the number of images in a batch.
        learning_rate: the highest learning rate of the schedule.
        augment: a function that is applied to each batch of floats in [0, 1]; None for none.
        report: a function that is called every 50 steps with (step, steps, loss); None for none.
    """
    count = len(images)
    batch_size = min(batch_size, count)
    per_epoch = count // batch_size
    steps = max(2, math.ceil(epochs * per_epoch))
    decayed = [p for p in network.parameters() if p.ndim > 1]
    free = [p for p in network.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": free, "weight_decay": 0.0}],
        lr=learning_rate,
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    shuffle = torch.Generator().manual_seed(seed)
    network.train()
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        start = step % per_epoch * batch_size
        if start == 0:
            order = torch.randperm(count, generator=shuffle).to(images.device)
        batch = order[start : start + batch_size]
        x = images[batch].float() / 255
        if augment is not None:
            x = augment(x)
        loss = F.cross_entropy(network(x)[1], labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if report is not None and (step % 50 == 0 or step == steps - 1):
            report(step + 1, steps, float(loss.detach()))
    network.eval()


@torch.inference_mode()
def predict(network: SmallClassifier, images: Tensor, batch_size: int = 1000) -> Tensor:
    """Return the classes (N,) that `network` predicts for uint8 images (N, C, H, W)."""
    network.eval()
    return torch.cat(
        [network(part.float() / 255)[1].argmax(dim=1) for part in images.split(batch_size)]
    )
