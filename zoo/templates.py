"""What `task=new` writes: per kind a part that works as it stands, and its test."""

from __future__ import annotations

from string import Template
from typing import NamedTuple


class Templates(NamedTuple):
    """The part and its test; `$name` and `$Class` are filled in.

    Attributes:
        use: the command that uses the part.
    """

    part: Template
    test: Template
    use: str


_IMPORT = '"""The $kind $name."""\n\nfrom __future__ import annotations\n\n'
_DOC = "One line on what it is, for task=list.\n\n    Paper: Authors (year), title or arXiv."
_TEST = (
    '"""The $kind $name.\n\n`pytest --plugin $name` adds the contract tests.\n"""\n\n'
    "from __future__ import annotations\n\n"
)


def _templates(kind: str, part: str, test: str, use: str) -> Templates:
    def fill(head: str, body: str) -> Template:
        text = head + body.strip("\n") + "\n"
        return Template(text.replace("$kind", kind).replace("$doc", _DOC))

    return Templates(fill(_IMPORT, part), fill(_TEST, test), use)


TEMPLATES = {
    "generator": _templates(
        "generator",
        '''
from torch import Tensor, nn

from zoo import Generator, append_one_hot, check_image_size, check_labels, generator


@generator("$name")
class $Class(Generator):
    """$doc

    Args:
        base_channels: channels of the last hidden map.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        latent_dim: int,
        num_classes: int = 0,
        base_channels: int = 32,
    ) -> None:
        super().__init__(image_size, channels, latent_dim, num_classes)
        check_image_size("generator $name", image_size)
        self.side = image_size // 4
        self.start = nn.Linear(latent_dim + num_classes, 2 * base_channels * self.side**2)
        self.layers = nn.Sequential(
            nn.BatchNorm2d(2 * base_channels),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(2 * base_channels, base_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(base_channels),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(base_channels, channels, 3, padding=1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.num_classes:
            z = append_one_hot(z, check_labels(self, y), self.num_classes)
        return self.layers(self.start(z).view(len(z), -1, self.side, self.side))
''',
        """
import torch

import zoo


def test_images_have_the_size_and_the_range():
    generator = zoo.create("generator", "$name", image_size=32, channels=1, latent_dim=16)
    images = generator(torch.randn(4, 16))
    assert images.shape == (4, 1, 32, 32)
    assert images.abs().max() <= 1
""",
        "python run.py model/generator={name}",
    ),
    "discriminator": _templates(
        "discriminator",
        '''
from collections.abc import Callable

from torch import Tensor, nn

from zoo import Discriminator, Head, check_image_size, discriminator


@discriminator("$name")
class $Class(Discriminator):
    """$doc

    Args:
        base_channels: channels of the first map.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        num_classes: int = 0,
        head: str | Callable[..., Head] | None = None,
        base_channels: int = 32,
    ) -> None:
        super().__init__(image_size, channels, num_classes, head)
        check_image_size("discriminator $name", image_size)
        self.trunk = nn.Sequential(
            nn.Conv2d(self.in_channels, base_channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(base_channels, 2 * base_channels, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
        )
        self.attach_head(2 * base_channels * (image_size // 4) ** 2)

    def features(self, x: Tensor) -> Tensor:
        return self.trunk(x)
''',
        """
import torch

import zoo


def test_one_score_per_image():
    discriminator = zoo.create("discriminator", "$name", image_size=32, channels=1)
    assert discriminator(torch.rand(4, 1, 32, 32) * 2 - 1).shape == (4,)
""",
        "python run.py model/discriminator={name}",
    ),
    "head": _templates(
        "head",
        '''
from collections.abc import Callable

from torch import Tensor, nn

from zoo import Head, head


@head("$name")
class $Class(Head):
    """$doc

    Args:
        width: of the hidden layer.
    """

    def __init__(
        self,
        features: int,
        num_classes: int,
        image_size: int,
        wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer,
        bias: bool = True,
        width: int = 64,
    ) -> None:
        super().__init__(features, num_classes, image_size, wrap, bias)
        self.layers = nn.Sequential(
            wrap(nn.Linear(features, width, bias=bias)),
            nn.LeakyReLU(0.2),
            wrap(nn.Linear(width, 1, bias=bias)),
        )

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(features).squeeze(1)
''',
        """
import torch

import zoo


def test_one_score_per_image():
    head = zoo.create("head", "$name", features=12, num_classes=0, image_size=32)
    assert head(torch.randn(4, 12)).shape == (4,)
""",
        "python run.py model/head={name}",
    ),
    "loss": _templates(
        "loss",
        '''
from torch import Tensor
from torch.nn.functional import softplus

from zoo import Loss, loss


@loss("$name")
class $Class(Loss):
    """$doc

    D: softplus(-s D(x)) + softplus(s D(G(z))); G: softplus(-s D(G(z))).

    Args:
        scale: s, what the scores are multiplied by.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return softplus(-self.scale * real) + softplus(self.scale * fake)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return softplus(-self.scale * fake)
''',
        """
import math

import pytest
import torch

import zoo


def test_values_at_a_score_of_zero():
    loss = zoo.create("loss", "$name", scale=2.0)
    zero = torch.zeros(1)
    assert loss.discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert loss.generator(zero).item() == pytest.approx(math.log(2))
""",
        "python run.py model/loss={name}",
    ),
    "regularizer": _templates(
        "regularizer",
        '''
from torch import Tensor

from zoo import Regularizer, Update, regularizer


@regularizer("$name")
class $Class(Regularizer):
    """$doc

    weight * E[D(x)^2] on real images.

    Args:
        weight: of the penalty.
        every: act on every k-th update of D, with k times the weight.
    """

    def __init__(self, weight: float = 0.001, every: int = 1) -> None:
        super().__init__(every)
        self.weight = weight

    def forward(self, update: Update) -> Tensor:
        return self.weight * update.real_scores.square().mean()
''',
        """
import pytest
import torch
from torch import nn

import zoo


def test_value_on_known_scores():
    scores = torch.tensor([1.0, -3.0])
    images, network = torch.zeros(2, 1, 8, 8), nn.Identity()
    update = zoo.Update(network, network, images, images, None, scores, scores, nn.Identity())
    penalty = zoo.create("regularizer", "$name", weight=0.5)(update)
    assert penalty.item() == pytest.approx(0.5 * 5.0)
""",
        "python run.py 'model/regularizer=[{name}]'",
    ),
    "augmentation": _templates(
        "augmentation",
        '''
import torch
from torch import Tensor

from zoo import Augmentation, augmentation


@augmentation("$name")
class $Class(Augmentation):
    """$doc

    Args:
        strength: the largest change of an image's brightness.
    """

    def __init__(self, strength: float = 0.5) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, images: Tensor) -> Tensor:
        shift = torch.rand(len(images), 1, 1, 1, device=images.device, dtype=images.dtype)
        return images + self.strength * (2 * shift - 1)
''',
        """
import torch

import zoo


def test_each_image_is_shifted_as_a_whole():
    torch.manual_seed(0)
    change = zoo.create("augmentation", "$name", strength=0.25)(torch.zeros(8, 3, 4, 4))
    assert (change == change[:, :1, :1, :1]).all()
    assert change.abs().max() <= 0.25
    assert len(change[:, 0, 0, 0].unique()) == 8
""",
        "python run.py 'model/augmentation=[{name}]'",
    ),
    "datamodule": _templates(
        "datamodule",
        '''
import torch
from torch import Tensor

from zoo import DataModule, datamodule


@datamodule("$name")
class $Class(DataModule):
    """$doc

    Args:
        image_size: H = W in pixels.
        batch_size: images of one update.
    """

    def __init__(
        self, image_size: int = 32, batch_size: int = 64, seed: int = 0, data_dir: str = "data"
    ) -> None:
        classes = [str(shade) for shade in range(10)]
        super().__init__("$name", image_size, 1, classes, batch_size, seed=seed)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Images (N, C, H, W) uint8 and labels (N,) int64: here, plain squares of ten shades."""
        labels = torch.arange(1000 if split == "train" else 100) % 10
        shades = (labels * 25).to(torch.uint8).view(-1, 1, 1, 1)
        return shades.repeat(1, 1, self.image_size, self.image_size), labels
''',
        """
import torch

import zoo


def test_images_and_labels():
    data = zoo.create("datamodule", "$name", image_size=16)
    images, labels = data.split("train")
    assert images.shape[1:] == (data.channels, 16, 16)
    assert images.dtype == torch.uint8
    assert labels.max() < data.num_classes
""",
        "python run.py datamodule={name}",
    ),
    "task": _templates(
        "task",
        '''
from pathlib import Path
from typing import Any

import zoo


@zoo.task("$name")
class $Class:
    """$doc

    Args:
        generator: whose parameters are counted.
        image_size: H = W in pixels.
    """

    def __init__(self, generator: str = "dcgan", image_size: int = 32) -> None:
        self.generator = generator
        self.image_size = image_size

    def __call__(self, out: Path) -> dict[str, Any]:
        """Write into the folder `out` and return what the command prints at its end."""
        network = zoo.create(
            "generator", self.generator, image_size=self.image_size, channels=1, latent_dim=100
        )
        count = sum(p.numel() for p in network.parameters())
        path = Path(out) / "count.txt"
        path.write_text(f"{count}\\n", encoding="utf-8")
        return {"parameters": count, "file": path}
''',
        """
import zoo


def test_it_writes_what_it_counts(tmp_path):
    summary = zoo.create("task", "$name", generator="dcgan", image_size=32)(tmp_path)
    assert summary["parameters"] == 1_066_880
    assert (tmp_path / "count.txt").read_text() == "1066880\\n"
""",
        "python run.py task={name}",
    ),
}
