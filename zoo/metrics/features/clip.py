"""The feature network `clip`: image embeddings of CLIP, with which CMMD was published."""

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
        model: the name of a model in timm; published values of CMMD use the default.
        weights: the file of timm's weights (model.safetensors of
            https://huggingface.co/timm/vit_large_patch14_clip_336.openai); None takes it from the
            cache of the Hugging Face Hub, or downloads it there.
        pretrained: whether to load these weights; False gives random ones, always the same.

    Raises:
        ZooError: the weights cannot be loaded, or are those of another network.
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
        self.classes = 0  # its head projects to the embedding space of texts, not to classes

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        return self.network(self.prepared(images)), None
