"""The feature networks `mnist`, `fashion_mnist`, `cifar10`, whose weights come with the zoo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from safetensors.torch import load_file
from torch import Tensor

from zoo.layers.pretrained import file_hash
from zoo.metrics.features.base import Features, as_rgb, unreadable
from zoo.metrics.features.classifier import INPUT_SIZE, SmallClassifier
from zoo.registry import features

WEIGHTS = Path(__file__).parent / "weights"


class _Embedded(Features):
    """A small classifier trained on `dataset`, whose images have `planes` channels."""

    dataset: ClassVar[str]
    planes: ClassVar[int] = 1
    classes = 10
    offline = True

    def __init__(self) -> None:
        super().__init__()
        path = WEIGHTS / f"{self.dataset}.safetensors"
        self.name = self.dataset
        self.weights_hash = file_hash(path)
        self.resizer = f"28 padded, else bilinear antialiased to {INPUT_SIZE}"
        self.test_accuracy = json.loads(path.with_suffix(".json").read_text())["test_accuracy"]
        self.network = SmallClassifier(self.planes, self.classes, batch_norm=False)
        self.network.load_state_dict({k: w.float() for k, w in load_file(path).items()})
        self.freeze()


class _ByChannel(_Embedded):
    """A classifier of grey images that is applied to each channel separately.

    Images of C channels have features (N, C * 128). Their logits (N, 10 ** C) are the joint
    log-probabilities of the classes of the C channels, with the first channel as the leading digit:
    10 classes for grey images, and the 1000 modes of Stacked MNIST for three channels.
    """

    channels = (1, 2, 3)

    def classes_of(self, channels: int) -> int:
        return self.classes**channels

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        n, channels = images.shape[:2]
        if channels not in self.channels:
            most = max(self.channels)
            raise unreadable(f"features={self.name} takes images of 1 to {most} channels", channels)
        planes = images.reshape(n * channels, 1, *images.shape[2:])
        vectors, logits = self.network(planes.float() / 255)
        each = logits.log_softmax(dim=1).unflatten(0, (n, channels))
        joint = each[:, 0]
        for channel in range(1, channels):
            joint = (joint[:, :, None] + each[:, channel, None, :]).flatten(1)
        return vectors.reshape(n, -1), joint


@features("mnist")
class MnistFeatures(_ByChannel):
    """A classifier of digits trained on MNIST."""

    dataset = "mnist"
    labels_of = ("mnist", "mnist_subset", "stacked_mnist")


@features("fashion_mnist")
class FashionMnistFeatures(_ByChannel):
    """A classifier of clothing trained on Fashion-MNIST."""

    dataset = "fashion_mnist"
    labels_of = ("fashion_mnist",)


@features("cifar10")
class Cifar10Features(_Embedded):
    """A classifier of the ten classes of CIFAR-10, trained on a JPEG copy of its images.

    It computes features (N, 128) and logits (N, 10) of colour or grey images at 32x32. It is fast
    and needs no download, but published tables of CIFAR-10 use the FID of `features=inception`.
    """

    dataset = "cifar10"
    planes = 3
    labels_of = ("cifar10",)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        rgb = as_rgb(images, f"features={self.name} takes")
        vectors, logits = self.network(rgb.float() / 255)
        return vectors, logits
