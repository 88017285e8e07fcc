"""The templates of `task=new` for losses, regularizers, data, tasks and other simple parts."""

from __future__ import annotations

from zoo.tasks.templates.form import templates

OTHERS = {
    "loss": templates(
        "loss",
        '''
from typing import Annotated

from torch import Tensor
from torch.nn.functional import softplus

from zoo import Loss, above, loss


@loss("$name")
class $Class(Loss):
    """$doc

    D: softplus(-s D(x)) + softplus(s D(G(z))); G: softplus(-s D(G(z))).

    Args:
        scale: s, the factor of the scores.
    """

    def __init__(self, scale: Annotated[float, above(0)] = 1.0) -> None:
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
        "{program} model/loss={name}",
    ),
    "regularizer": templates(
        "regularizer",
        '''
from typing import Annotated

from torch import Tensor

from zoo import Regularizer, Update, at_least, regularizer


@regularizer("$name")
class $Class(Regularizer):
    """$doc

    weight * E[D(x)^2] on real images.

    Args:
        weight: the weight of the penalty.
        every: apply the penalty at every k-th update of D, with k times the weight.
    """

    def __init__(
        self,
        weight: Annotated[float, at_least(0)] = 0.001,
        every: Annotated[int, at_least(1)] = 1,
    ) -> None:
        super().__init__(every)
        self.weight = weight

    def forward(self, update: Update) -> Tensor:
        return self.weight * update.real_output.scores.square().mean()
''',
        """
from types import SimpleNamespace

import pytest
import torch

import zoo


def test_value_on_known_scores():
    output = zoo.DiscriminatorOutput(torch.tensor([1.0, -3.0]), torch.zeros(2, 1), {})
    update = SimpleNamespace(real_output=output, fake_output=output)
    penalty = zoo.create("regularizer", "$name", weight=0.5)(update)
    assert penalty.item() == pytest.approx(0.5 * 5.0)
""",
        "{program} 'model/regularizer=[{name}]'",
    ),
    "augmentation": templates(
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
        "{program} 'model/augmentation=[{name}]'",
    ),
    "schedule": templates(
        "schedule",
        '''
from zoo import Schedule, schedule


@schedule("$name")
class $Class(Schedule):
    """$doc

    Args:
        start: the initial value.
        half_life: the number of images after which the value has halved.
        warm_up: the number of images at the beginning, while the value rises from 0 to `start`.
    """

    def __init__(
        self, start: float = 1.0, half_life: float = 100_000.0, warm_up: int = 0
    ) -> None:
        super().__init__(warm_up)
        self.start = start
        self.half_life = half_life

    def value(self, images: int) -> float:
        return self.start * 0.5 ** (images / self.half_life)
''',
        """
import zoo


def test_the_value_halves():
    half = zoo.create("schedule", "$name", start=4.0, half_life=10.0)
    assert [half(n) for n in (0, 10, 20)] == [4, 2, 1]
""",
        "{program} 'model.schedules={{lr_g: {{name: {name}, start: 2e-4}}}}'",
    ),
    "latent": templates(
        "latent",
        '''
import torch
from torch import Tensor

from zoo import Latent, latent


@latent("$name")
class $Class(Latent):
    """$doc

    Args:
        dim: the length of a latent, which is set by `model.latent_dim`.
        scale: the largest absolute value of a coordinate.
    """

    def __init__(self, dim: int, scale: float = 1.0) -> None:
        super().__init__(dim)
        self.scale = scale

    def sample(
        self, n: int, generator: torch.Generator | None = None, device: torch.device | None = None
    ) -> Tensor:
        origin = device if generator is None else generator.device
        uniform = torch.rand(n, self.dim, generator=generator, device=origin)
        return (self.scale * (2 * uniform - 1)).to(device or origin)
''',
        """
import torch

import zoo


def test_it_stays_in_its_range():
    z = zoo.create("latent", "$name", dim=3, scale=2.0).sample(100)
    assert z.shape == (100, 3)
    assert z.abs().max() <= 2
""",
        "{program} model/latent={name}",
    ),
    "datamodule": templates(
        "datamodule",
        '''
import torch
from torch import Tensor

from zoo import DataModule, datamodule


@datamodule("$name")
class $Class(DataModule):
    """$doc

    Args:
        image_size: height and width in pixels.
        batch_size: the number of images per update.
    """

    def __init__(
        self, image_size: int = 32, batch_size: int = 64, seed: int = 0, data_dir: str = "data"
    ) -> None:
        classes = [str(shade) for shade in range(10)]
        super().__init__("$name", image_size, 1, classes, batch_size, seed=seed)

    def load(self, split: str) -> tuple[Tensor, Tensor]:
        """Return images (N, C, H, W) uint8 and labels (N,) int64; here, squares in ten shades."""
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
        "{program} datamodule={name}",
    ),
    "task": templates(
        "task",
        '''
from typing import Any

import zoo


@zoo.task("$name")
class $Class(zoo.Task):
    """$doc

    Args:
        generator: the generator whose parameters are counted.
        image_size: height and width in pixels.
    """

    def __init__(self, generator: str = "dcgan", image_size: int = 32) -> None:
        self.generator = generator
        self.image_size = image_size

    def run(self, run: zoo.Run) -> dict[str, Any]:
        """Write into the run's folder, and return what the command prints at its end."""
        network = zoo.create(
            "generator", self.generator, image_size=self.image_size, channels=1, latent_dim=100
        )
        count = sum(p.numel() for p in network.parameters())
        path = run.folder / "count.txt"
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
        "{program} task={name}",
    ),
}
