"""Feature networks: what a metric compares images by, chosen by name.

A feature network is a part under `@features("name")`. It takes uint8 images and says by which
weights (a hash) and which resizer it looks at them, because a figure without these is not
comparable with any other.
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
        name: what the protocol calls it.
        weights_hash: the first 12 hex digits of the SHA-256 of its weights; `freeze` takes it from
            parameters and buffers where it is not set before.
        resizer: how an image is brought to the network's input, in words.
        classes: number of classes of the logits for one-channel input; 0 without logits.
        labels_of: data sets whose classes the logits are, so that they can say whether an image
            is of its class.
        test_accuracy: of those logits on the real test images; None where it is not known.
        general: its rank among those for images of any kind, the lowest of which is taken for data
            without features of its own; None for none.
        channels: how many of them an image may have.
        offline: its weights come with the zoo or with a package.
        plane: its vectors are the images' own points of the plane.
        standard_for: metrics that were published on these vectors, and change their name on others.
        takes_floats: beside uint8 images also floats in [-1, 1], as points are kept.
        tiny: options for a small copy without weights from elsewhere, used by the tests.
        tiny_shape: of the images that the tests show it.
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
        """What its vectors depend on: those of two networks with one identity are the same."""
        return self.name, self.weights_hash, self.resizer

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map uint8 images (N, C, H, W) to float32 features (N, D) and logits (N, K) or None."""

    def classes_of(self, channels: int) -> int:
        """How many classes the logits of images with `channels` channels tell apart."""
        return self.classes

    @classmethod
    def is_available(cls) -> bool:
        """Whether what it needs is installed."""
        return True

    @classmethod
    def install(cls) -> str:
        """How what it lacks is installed where `is_available` is false, as a part of a sentence."""
        return "a further package is installed"

    def freeze(self) -> None:
        """Call last in `__init__`: no gradients, evaluation mode, and a hash of the weights.

        Convolutions run with the channels last, in half of the time on processors.
        """
        self.requires_grad_(False)
        self.eval()
        self.to(memory_format=torch.channels_last)
        if not hasattr(self, "weights_hash"):
            self.weights_hash = tensors_hash(self.state_dict().items())


def create_features(name: str, **options: Any) -> Features:
    """Build the feature network `name`; `timm/resnet18` is `timm` with `model="resnet18"`.

    Raises:
        ZooError: no such name or option, or its weights cannot be had.
    """
    if name.startswith("timm/"):
        name, options["model"] = name.split("/", 1)
    made: Features = create("features", name, **options)
    return made


def offline_choices() -> str:
    """What could be done where weights cannot be fetched, as a part of a sentence."""
    here = [p.name for p in offline_features() if p.load().is_available()]
    others = [p.name for p in offline_features() if p.name not in here]
    missing = ""
    if others:
        first, *further = others
        missing = f", {first} after {REGISTRY.get('features', first).load().install()}"
        missing += f", and with packages of their own {listing(further)}" if further else ""
    return f"without network, features={listing(here)} work{missing}"


def offline_features() -> list[Part]:
    """The feature networks that fetch nothing."""
    return REGISTRY.having("features", lambda live: live.offline)


def unreadable(who: str, channels: int) -> ZooError:
    """The error that `who` cannot read images of `channels` channels, naming features that can."""
    able = REGISTRY.having("features", lambda live: channels in live.channels and not live.plane)
    names = [f"features={part.name}" for part in able]
    advice = f"choose {' or '.join(names)}" if names else "no features read so many"
    return ZooError(f"{who}, these have {channels}: {advice}.")


def as_rgb(images: Tensor, who: str = "ImageNet features take") -> Tensor:
    """Images (N, 1 or 3, H, W) with three channels, for `who`, which begins the error.

    Raises:
        ZooError: another number of channels.
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
    """Run uint8 images (N, C, H, W) through `network` in batches, the last one included.

    Args:
        progress: title of a progress bar; None shows none.

    Returns:
        Features (N, D) and logits (N, K) or None, float32 on the CPU.

    Raises:
        ZooError: images of another type, or features that are not finite, of which some metrics
            would make a number.
    """
    if images.dtype != torch.uint8 and not (network.takes_floats and images.is_floating_point()):
        raise ZooError(
            f"feature networks take uint8 images, these are {images.dtype}: "
            "use zoo.data.to_uint8 on images in [-1, 1]."
        )
    vectors, logits = [], []
    bar = tqdm(total=len(images), desc=progress, unit="img", disable=progress is None, leave=False)
    device = next(chain(network.parameters(), network.buffers())).device
    with bar:
        for batch in images.split(batch_size):
            out, scores = network(batch.to(device))
            if not all(t.isfinite().all() for t in (out, scores) if t is not None):
                raise ZooError(
                    f"the feature network {network.name} gives NaN or infinite features of finite "
                    "images: its weights are damaged, or too large for its precision."
                )
            vectors.append(out.float().cpu())
            if scores is not None:
                logits.append(scores.float().cpu())
            bar.update(len(batch))
    return torch.cat(vectors), torch.cat(logits) if logits else None
