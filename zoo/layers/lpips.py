"""LPIPS, a learned perceptual distance between images, on AlexNet."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.core.errors import ZooError
from zoo.layers.pretrained import as_colours, read_weights, weights_file

URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
TAPS = (1, 4, 7, 9, 11)
"""Indices of the five convolutions' ReLUs among AlexNet's layers."""
WIDTHS = (64, 192, 384, 256, 256)


class Lpips(nn.Module):
    """The weighted squared distance of normalised features, averaged over positions, (N,).

    Σ_l mean_hw Σ_c w_lc (a_lc - b_lc)², where a and b are five maps of AlexNet, normalised to unit
    length at every position, and w was fitted to human judgements (version 0.1).

    Paper: Zhang et al. (2018), arXiv:1801.03924.

    Args:
        weights: weights of AlexNet and of the channels, as in `load_lpips`; None leaves AlexNet
            random and weighs all channels equally, for tests.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        from torchvision.models import alexnet

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = alexnet().features
        # These two constants, and 1e-10 in the norm, are the authors' own.
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1))
        for i, width in enumerate(WIDTHS):
            self.register_buffer(f"channels_{i}", torch.full((width,), 1 / width))
        if weights is not None:
            self.load_state_dict({**self.state_dict(), **weights})
        self.requires_grad_(False)
        self.eval()

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return the five maps of images (N, C, H, W) in [-1, 1], not normalised."""
        x = (as_colours(images) - self.shift) / self.scale
        maps = []
        for i, layer in enumerate(self.layers):
            # AlexNet's ReLUs work in place, which would overwrite maps that are already stored.
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if i in TAPS:
                maps.append(x)
        return maps

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        total = torch.zeros(len(x), device=x.device)
        for i, (a, b) in enumerate(zip(self.maps(x), self.maps(target), strict=True)):
            a, b = (m / (m.square().sum(1, keepdim=True).sqrt() + 1e-10) for m in (a, b))
            weight: Tensor = getattr(self, f"channels_{i}")
            total = total + ((a - b).square() * weight.view(-1, 1, 1)).sum(1).mean((1, 2))
        return total


def load_lpips(wanted_by: str, file: str | None = None) -> Lpips:
    """Return LPIPS with the published weights: AlexNet's from `file` or torch's hub folder.

    The weights of the channels come with torchmetrics.

    Args:
        wanted_by: start of error messages, such as `metric lpips_diversity`.
        file: the weight file; None takes it from torch's hub folder, or downloads it there.

    Raises:
        ZooError: The file is not available, or holds something else.
    """
    path = weights_file(wanted_by, URL, "7be5be79", file, "it as the option weights=PATH")
    stored = read_weights(path, wanted_by)
    weights = {
        f"layers.{name.removeprefix('features.')}": value
        for name, value in stored.items()
        if name.startswith("features.")
    }
    spec = importlib.util.find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    channels = Path(spec.origin).parent / "functional" / "image" / "lpips_models" / "alex.pth"
    for name, value in read_weights(channels, wanted_by).items():
        weights[f"channels_{name[len('lin')]}"] = value.flatten()
    try:
        return Lpips(weights)
    except RuntimeError as error:
        raise ZooError(f"{wanted_by}: {path} does not hold AlexNet's weights.") from error
