"""The templates of `task=new` for callbacks, feature networks, metrics and samplers."""

from __future__ import annotations

from zoo.tasks.templates.form import templates

MEASURES = {
    "callback": templates(
        "callback",
        '''
from pathlib import Path
from typing import Annotated, Any

from zoo import Callback, at_least, callback


@callback("$name")
class $Class(Callback):
    """$doc

    Every few steps, write the number of images seen to a file in the run's folder.

    Args:
        folder: the run's folder.
        every_n_steps: the number of steps between two lines.
    """

    def __init__(self, folder: str, every_n_steps: Annotated[int, at_least(1)] = 100) -> None:
        self.path = Path(folder) / "$name.txt"
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero and (batch_idx + 1) % self.every_n_steps == 0:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(f"{pl_module.images_seen}\\n")

    def summary(self) -> dict[str, Any]:
        """Return what is printed at the end of the training."""
        return {"$name": self.path}
''',
        """
import tempfile
from types import SimpleNamespace

import zoo


def test_a_line_every_second_step():
    with tempfile.TemporaryDirectory() as folder:
        watcher = zoo.create("callback", "$name", folder=folder, every_n_steps=2)
        trainer = SimpleNamespace(is_global_zero=True)
        for step in range(4):
            module = SimpleNamespace(images_seen=8 * (step + 1))
            watcher.on_train_batch_end(trainer, module, None, None, step)
        assert watcher.path.read_text() == "16\\n32\\n"
""",
        "{program} +callback={name}",
    ),
    "features": templates(
        "features",
        '''
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from zoo import Features, features


@features("$name")
class $Class(Features):
    """$doc

    Args:
        side: images are resized to side x side pixels, whose values are the features.
    """

    white: Tensor

    def __init__(self, side: int = 8) -> None:
        super().__init__()
        self.name = "$name"
        self.resizer = f"averaged to {side}"
        self.side = side
        self.register_buffer("white", torch.tensor(255.0))
        self.freeze()

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Map uint8 images (N, C, H, W) to features (N, D); a classifier also returns logits."""
        return adaptive_avg_pool2d(images / self.white, self.side).flatten(1), None
''',
        """
import torch

import zoo


def test_a_feature_is_a_mean_of_pixels():
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    images[:, :, :4, :4] = 255
    vectors, logits = zoo.create("features", "$name", side=2)(images)
    assert vectors.tolist() == [[1, 0, 0, 0]] * 2
    assert logits is None
""",
        "{program} task=evaluate ckpt=mnist dataset=mnist_subset features={name}",
    ),
    "metric": templates(
        "metric",
        '''
from typing import Any

from zoo import Metric, metric


@metric("$name")
class $Class(Metric):
    """$doc

    The distance between the mean features of generated and real images.

    Args:
        power: the exponent p of the norm.
    """

    def __init__(self, power: float = 2.0) -> None:
        self.power = power

    def __call__(self, data: Any) -> dict[str, float]:
        """Compare features (N, D) with (M, D); see `zoo/metrics/comparison.py` for other data."""
        gap = data.vectors.mean(dim=0) - data.reference_vectors.mean(dim=0)
        return {"$name": gap.norm(p=self.power).item()}
''',
        """
from types import SimpleNamespace

import pytest
import torch

import zoo


def test_value_on_known_features():
    data = SimpleNamespace(
        vectors=torch.tensor([[3.0, 0.0], [3.0, 8.0]]), reference_vectors=torch.zeros(5, 2)
    )
    assert zoo.create("metric", "$name")(data) == {"$name": pytest.approx(5.0)}
    assert zoo.create("metric", "$name", power=1.0)(data) == {"$name": pytest.approx(7.0)}
""",
        "{program} task=evaluate ckpt=mnist dataset=mnist_subset 'metrics=[{name}]'",
    ),
    "sampler": templates(
        "sampler",
        '''
import torch
from torch import Tensor

from zoo import Sampler, Scene, sampler


@sampler("$name")
class $Class(Sampler):
    """$doc

    Take the image with the highest score of D among a few draws.

    Args:
        draws: the number of draws for each image.
    """

    def __init__(self, draws: int = 4) -> None:
        self.draws = draws

    def __call__(self, scene: Scene, z: Tensor, y: Tensor | None) -> Tensor:
        """Return latents (N, dim) to replace the first draw `z`, for labels (N,)."""
        best = scene.scores(z, y)
        for _ in range(self.draws - 1):
            other = scene.draw(len(z))
            scores = scene.scores(other, y)
            z = torch.where((scores > best)[:, None], other, z)
            best = torch.maximum(scores, best)
        return z
''',
        """
import torch

import zoo


def test_it_takes_the_highest_score():
    draws = iter([torch.tensor([[3.0], [-1.0]]), torch.tensor([[2.0], [5.0]])])
    scene = zoo.Scene(
        draw=lambda n: next(draws),
        images=lambda z, y: z,
        score=lambda images, y: images[:, 0],
        reals=lambda: (torch.zeros(1, 1), None),
        random=torch.Generator(),
        latent=None,
        num_classes=0,
    )
    refined = zoo.create("sampler", "$name", draws=3)(scene, torch.zeros(2, 1), None)
    assert refined.tolist() == [[3.0], [5.0]]
""",
        "{program} task=sample ckpt=RUN refine={name}",
    ),
}
