"""The templates of `task=new` for networks: generators, discriminators and heads."""

from __future__ import annotations

from zoo.tasks.templates.form import templates

NETWORKS = {
    "generator": templates(
        "generator",
        '''
from torch import Tensor, nn

from zoo import Generator, append_one_hot, check_image_size, check_labels, generator


@generator("$name")
class $Class(Generator):
    """$doc

    Args:
        base_channels: the number of channels of the last hidden layer.
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
        "{program} model/generator={name}",
    ),
    "discriminator": templates(
        "discriminator",
        '''
from collections.abc import Callable

from torch import Tensor, nn

from zoo import Discriminator, Head, check_image_size, discriminator


@discriminator("$name")
class $Class(Discriminator):
    """$doc

    Args:
        base_channels: the number of channels of the first layer.
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
        "{program} model/discriminator={name}",
    ),
    "head": templates(
        "head",
        '''
from torch import Tensor, nn

from zoo import Head, Trunk, head


@head("$name")
class $Class(Head):
    """$doc

    Args:
        width: the number of units in the hidden layer.
    """

    def __init__(self, trunk: Trunk, width: int = 64) -> None:
        super().__init__(trunk)
        self.layers = nn.Sequential(
            trunk.wrap(nn.Linear(trunk.features, width, bias=trunk.bias)),
            nn.LeakyReLU(0.2),
            trunk.wrap(nn.Linear(width, 1, bias=trunk.bias)),
        )

    def forward(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        return self.layers(features).squeeze(1)
''',
        """
import torch

import zoo


def test_one_score_per_image():
    trunk = zoo.Trunk(features=12, num_classes=0, image_size=32)
    head = zoo.create("head", "$name", trunk=trunk)
    assert head(torch.randn(4, 12)).shape == (4,)
""",
        "{program} model/head={name}",
    ),
}
