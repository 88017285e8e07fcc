"""`clip`: image embeddings of CLIP, which CMMD is published on."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from zoo.metrics.features.backbone import Backbone
from zoo.metrics.features.timm import timm_network
from zoo.registry import features


@features("clip")
class ClipFeatures(Backbone):
    """The image embedding of OpenAI's CLIP, ViT-L/14 at 336x336.

    Paper: Radford et al. (2021), arXiv:2103.00020.

    Args:
        model: timm's name; others than the default are not what CMMD is published on.
        weights: a file of timm's weights (model.safetensors of
            https://huggingface.co/timm/vit_large_patch14_clip_336.openai); None takes them from the
            hub's cache, or downloads them there.
        pretrained: False gives random weights (always the same).

    Raises:
        ZooError: the weights cannot be had, or are of another network.
    """

    standard_for = frozenset({"cmmd"})
    tiny: ClassVar[dict[str, Any]] = {"model": "test_vit", "pretrained": False}

    def __init__(
        self,
        model: str = "vit_large_patch14_clip_quickgelu_336.openai",
        weights: str | None = None,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        import timm

        network = timm_network("clip", model, pretrained, weights)
        config = timm.data.resolve_model_data_config(network)
        self.name = f"clip/{model}" + ("" if pretrained or weights else " (random weights)")
        self.adopt(network, config["input_size"][-1], config["mean"], config["std"])
        self.classes = 0  # its head projects to the space of texts, and tells no classes apart

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return self.network(self.prepared(images)), None
