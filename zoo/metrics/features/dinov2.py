"""The feature network `dinov2` of FD-DINOv2, with the published preprocessing of images."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.layers.pretrained import read_weights, weights_file
from zoo.metrics.features.base import Features, as_rgb
from zoo.registry import features

URL = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vit{size}14/dinov2_vit{size}14_pretrain.pth"
GIVEN = "features_weights=PATH to task=evaluate, or 'metrics=[{name: fd_dinov2, weights: PATH}]'"
SIDE = 224
PATCHES = SIDE // 14
TRAINED_PATCHES = 37
"""The patches per side in training, at 518 pixels, for which there is a position embedding."""
OFFSET = 0.1
"""The offset that the authors add to the number of patches when scaling the position embedding."""
_NAMES = {"s": "small", "b": "base", "l": "large"}


@features("dinov2")
class DinoV2Features(Features):
    """The class token of DINOv2 at 224x224, as used by FD-DINOv2.

    Images are converted to RGB, resized by Pillow (bicubic, 8 bits), and normalised with the
    statistics of ImageNet; the position embedding is scaled as in the authors' code. Values thus
    follow the published protocol, unlike those of timm's version of the network (features=timm).

    Papers: Oquab et al. (2023), arXiv:2304.07193; Stein et al. (2023), arXiv:2306.04675.

    Args:
        size: the size of the network: l, for which values are published, or the smaller b or s.
        weights: the authors' file dinov2_vitl14_pretrain.pth; None takes it from torch's hub
            folder, or downloads it there.
        pretrained: whether to load these weights; False gives random ones, always the same.

    Raises:
        ZooError: the weights cannot be loaded, or are those of another network.
    """

    tiny: ClassVar[dict[str, Any]] = {"size": "s", "pretrained": False}
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        size: Literal["s", "b", "l"] = "l",
        weights: str | None = None,
        pretrained: bool = True,
    ) -> None:
        super().__init__()
        import timm

        stored: dict[str, Tensor] | None = None
        if pretrained:
            url = URL.format(size=size)
            path = weights_file("features=dinov2", url, None, weights, GIVEN)
            stored = read_weights(path, "features=dinov2")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = f"vit_{_NAMES[size]}_patch14_dinov2"
            self.network: Any = timm.create_model(model, pretrained=False, img_size=SIDE)
        if stored is not None:
            try:
                self.network.load_state_dict(adapted(stored))
            except (RuntimeError, KeyError) as error:
                raise ZooError(
                    f"features=dinov2: {path} does not hold the weights of DINOv2's ViT-"
                    f"{size.upper()}/14 without registers."
                ) from error
        self.name = f"dinov2_vit{size}14" + ("" if pretrained else " (random weights)")
        self.resizer = f"Pillow's bicubic to {SIDE}"
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        x = scaled(as_rgb(images), SIDE).to(self.mean) / 255
        tokens = self.network.forward_features((x - self.mean) / self.std)
        return tokens[:, 0], None


def scaled(images: Tensor, side: int) -> Tensor:
    """Resize uint8 images (N, 3, H, W) with Pillow's bicubic filter, which rounds to uint8."""
    pictures = images.permute(0, 2, 3, 1).cpu().numpy()
    return torch.stack(
        [
            torch.from_numpy(
                np.array(Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC))
            )
            for p in np.ascontiguousarray(pictures)
        ]
    ).permute(0, 3, 1, 2)


def adapted(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adapt the authors' weights to 224 pixels: drop the mask token and scale the positions."""
    weights = {name: value for name, value in stored.items() if name != "mask_token"}
    weights["pos_embed"] = positions(weights["pos_embed"])
    return weights


def positions(embedding: Tensor, patches: int = PATCHES) -> Tensor:
    """Scale a position embedding (1, 1 + M², D) to `patches`² patches, as the authors do.

    The filter is bicubic without antialiasing, with the scale factor (patches + 0.1) / M. The
    offset of 0.1 is from the authors' code; it shifts every position slightly.
    """
    token, rest = embedding[:, :1].float(), embedding[:, 1:].float()
    trained = round(rest.shape[1] ** 0.5)
    square = rest.reshape(1, trained, trained, -1).permute(0, 3, 1, 2)
    factor = (patches + OFFSET) / trained
    moved = F.interpolate(square, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([token, moved.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)
