"""The feature network `timm`, which can be any timm model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from torch import nn

from zoo.core.errors import ZooError, suggest
from zoo.layers.pretrained import no_retries, tensors_hash
from zoo.metrics.features.backbone import Backbone
from zoo.metrics.features.base import offline_choices
from zoo.registry import at_least, features


@features("timm")
class TimmFeatures(Backbone):
    """The features before the classifier of any timm model.

    Paper: Oquab et al. (2023), arXiv:2304.07193 (DINOv2, the default).

    Args:
        model: the name of a model in timm; `features=timm/NAME` is short for it.
        pretrained: whether to load timm's weights; False gives random ones, always the same.
        weights: a file of weights for `model` (.safetensors or .pth) to load instead.
        resolution: the side to which images are resized; 0 takes the model's own.

    Raises:
        ZooError: the model is unknown, its weights cannot be loaded, or it does not support the
            resolution.
    """

    tiny: ClassVar[dict[str, Any]] = {"model": "resnet10t", "pretrained": False}

    def __init__(
        self,
        model: str = "vit_small_patch14_dinov2.lvd142m",
        pretrained: bool = True,
        weights: str | None = None,
        resolution: Annotated[int, at_least(0)] = 0,
    ) -> None:
        super().__init__()
        import timm

        network = timm_network("timm", model, pretrained, weights, resolution)
        config = timm.data.resolve_model_data_config(network)
        self.name = f"timm/{model}" + ("" if pretrained or weights else " (random weights)")
        self.weights_hash = tensors_hash(network.state_dict().items())
        self.adopt(network, resolution or config["input_size"][-1], config["mean"], config["std"])


def timm_network(
    part: str, model: str, pretrained: bool, weights: str | None, resolution: int = 0
) -> nn.Module:
    """Create a timm model for the feature network `part`, with arguments as in `TimmFeatures`.

    Raises:
        ZooError: the model is unknown, its weights cannot be loaded, or it does not support the
            resolution.
    """
    import timm

    if not timm.is_model(model):
        raise ZooError(
            f"features={part} with model={model!r}: timm {timm.__version__} has no such model."
            f"{suggest(model, timm.list_models() + timm.list_pretrained())}"
        )
    weights = os.path.expanduser(weights) if weights else None
    if weights and not Path(weights).is_file():
        raise ZooError(f"features={part}: there is no weight file {weights}.")
    options: dict[str, Any] = {"img_size": resolution} if resolution else {}
    download = pretrained and not weights
    try:
        return _seeded(timm, part, model, download, weights, options)
    except TypeError:
        # Convolutional models take images of any size and have no argument `img_size`.
        return _seeded(timm, part, model, download, weights, {})


def _seeded(
    timm: Any,
    part: str,
    model: str,
    pretrained: bool,
    weights: str | None,
    options: dict[str, Any],
) -> nn.Module:
    """Call `timm.create_model` with a fixed seed, and replace its errors by a `ZooError`."""
    try:
        with torch.random.fork_rng(devices=[]), no_retries(pretrained):
            torch.manual_seed(0)
            network = timm.create_model(
                model,
                pretrained=pretrained,
                checkpoint_path=weights or "",
                **options,
            )
    except TypeError:
        raise
    except Exception as error:  # timm, huggingface_hub and httpx raise errors of their own types
        if weights:
            problem = f"features={part}: {weights} does not fit {model}"
        elif pretrained:
            problem = (
                f"features={part} cannot get the weights of {model} (model.safetensors of "
                f"https://huggingface.co/timm): give features_weights=PATH to task=evaluate, or "
                f"choose another model with features=timm/NAME; {offline_choices()}"
            )
        else:
            problem = f"features={part} with model={model} cannot be built"
        reason = str(error).strip().splitlines() or [""]
        raise ZooError(f"{problem} ({type(error).__name__}: {reason[0][:200]}).") from error
    return network.eval()
