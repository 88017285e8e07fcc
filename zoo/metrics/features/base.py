"""The base class of feature networks, and functions to create and apply them.

A feature network is a part registered with `@features("name")`. It takes uint8 images and reports
a hash of its weights and its resizer, since metrics computed with different ones are not
comparable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from zoo.core.errors import ZooError, listing
from zoo.layers.pretrained import tensors_hash
from zoo.registry import REGISTRY, Part, create


class Features(nn.Module, ABC):
    """A frozen network from uint8 images to feature vectors, and to class logits if it has them.

    Attributes:
        name: the name in protocols.
        weights_hash: the first 12 hex digits of the SHA-256 of its weights. Unless it is set
            before, `freeze` computes it from parameters and buffers.
        resizer: a description of how images are resized for the network.
        classes: the number of classes of the logits for images of one channel; 0 without logits.
        labels_of: the data sets whose classes are those of the logits.
        general: the rank among networks for images of any kind; the lowest available rank is the
            default for data without features of their own. None for a network for special data.
        test_accuracy: the accuracy of the logits on real test images; None if unknown.
        channels: the numbers of channels that images may have.
        offline: whether its weights come with the zoo or with a Python package.
        plane: whether its features are the coordinates of points in the plane.
        standard_for: the metrics that were published with these features; with others, they have
            another name.
        takes_floats: whether it also takes floats in [-1, 1], the format of points.
        tiny: options for a small copy without downloaded weights, used by tests.
        tiny_shape: the shape of the images in these tests.
    """

    name: str
    weights_hash: str
    resizer: str
    classes: int = 0
    labels_of: ClassVar[tuple[str, ...]] = ()
    general: ClassVar[int | None] = None
    test_accuracy: float | None = None
    channels: ClassVar[tuple[int, ...]] = (1, 3)
    offline: ClassVar[bool] = False
    plane: ClassVar[bool] = False
    standard_for: ClassVar[frozenset[str]] = frozenset()
    takes_floats: bool = False
    tiny: ClassVar[dict[str, Any]] = {}
    tiny_shape: ClassVar[tuple[int, int, int]] = (1, 32, 32)

    @property
    def identity(self) -> tuple[str, str, str]:
        """The name, weights and resizer; networks with equal identities compute equal features."""
        return self.name, self.weights_hash, self.resizer

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map uint8 images (N, C, H, W) to float32 features (N, D) and logits (N, K) or None."""

    def classes_of(self, channels: int) -> int:
        """Return the number of classes of the logits for images with `channels` channels."""
        return self.classes

    @classmethod
    def is_available(cls) -> bool:
        """Whether the packages that the network needs are installed."""
        return True

    @classmethod
    def install(cls) -> str:
        """Return how missing packages are installed, for use after "after" in a sentence."""
        return "a further package is installed"

    def freeze(self) -> None:
        """Disable gradients, switch to evaluation mode, and compute the hash of the weights.

        Call this last in `__init__`. It also selects the memory format channels-last, which halves
        the time of convolutions on CPUs.
        """
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)
        if not hasattr(self, "weights_hash"):
            self.weights_hash = tensors_hash(self.state_dict().items())


def create_features(name: str, **options: Any) -> Features:
    """Create the feature network `name`; `timm/resnet18` is `timm` with `model="resnet18"`.

    Raises:
        ZooError: there is no such name or option, or its weights cannot be loaded.
    """
    if name.startswith("timm/"):
        name, options["model"] = name.split("/", 1)
    network: Features = create("features", name, **options)
    return network


def offline_choices() -> str:
    """Describe the features that need no download, for use within a sentence."""
    available = [p.name for p in offline_features() if p.load().is_available()]
    others = [p.name for p in offline_features() if p.name not in available]
    missing = ""
    if others:
        first, *further = others
        missing = f", {first} after {REGISTRY.get('features', first).load().install()}"
        missing += f", and {listing(further)} after installing similar packages" if further else ""
    return f"without a network connection, features={listing(available)} work{missing}"


def offline_features() -> list[Part]:
    """Return the feature networks that download nothing."""
    return REGISTRY.having("features", lambda live: live.offline)


def unreadable(who: str, channels: int) -> ZooError:
    """Return an error about images of `channels` channels that names suitable features.

    Args:
        who: the beginning of the message, a sentence about the images that are accepted.
        channels: the number of channels of the images.
    """
    suitable = REGISTRY.having(
        "features", lambda live: channels in live.channels and not live.plane
    )
    names = [f"features={part.name}" for part in suitable]
    advice = f"choose {' or '.join(names)}" if names else "no features take so many"
    return ZooError(f"{who}, but these have {channels}: {advice}.")


def as_rgb(images: Tensor, who: str = "ImageNet features take") -> Tensor:
    """Return images (N, 1 or 3, H, W) with three channels.

    Args:
        images: the images.
        who: the subject and verb that begin the error message.

    Raises:
        ZooError: the images have another number of channels.
    """
    channels = images.shape[1]
    if channels not in Features.channels:
        raise unreadable(f"{who} images of 1 or 3 channels", channels)
    return images.expand(-1, 3, -1, -1)


@torch.inference_mode()
def extract(
    network: Features,
    images: Tensor,
    batch_size: int = 500,
    progress: str | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Compute the features of uint8 images (N, C, H, W) in batches.

    Args:
        network: the feature network.
        images: the images.
        batch_size: the number of images in a batch.
        progress: the title of a progress bar; None shows none.

    Returns:
        Features (N, D) and logits (N, K) or None, float32 on the CPU.

    Raises:
        ZooError: the images have another dtype, or the features are not finite, from which some
            metrics would still compute a number.
    """
    if images.dtype != torch.uint8 and not (network.takes_floats and images.is_floating_point()):
        raise ZooError(
            f"feature networks take uint8 images, but these are {images.dtype}: convert images in "
            "[-1, 1] with zoo.data.pixels.to_uint8."
        )
    vectors, logits = [], []
    bar = tqdm(total=len(images), desc=progress, unit="img", disable=progress is None, leave=False)
    device = next(chain(network.parameters(), network.buffers())).device
    with bar:
        for batch in images.split(batch_size):
            out, scores = network(batch.to(device))
            if not all(t.isfinite().all() for t in (out, scores) if t is not None):
                raise ZooError(
                    f"the feature network {network.name} returned NaN or infinite features for "
                    "finite images: its weights are damaged, or too large for its precision."
                )
            vectors.append(out.float().cpu())
            if scores is not None:
                logits.append(scores.float().cpu())
            bar.update(len(batch))
    return torch.cat(vectors), torch.cat(logits) if logits else None
