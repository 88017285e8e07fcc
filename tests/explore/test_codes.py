"""Pictures of what the codes of a latent do."""

from __future__ import annotations

import pytest
import torch

import zoo
from zoo.core.errors import ZooError
from zoo.explore.codes import codes_grid, moved
from zoo.inference.plane import SIZE
from zoo.tasks.explore import Explore


def test_moves_change_the_code_alone():
    codes = zoo.create("latent", "codes", dim=9, categorical=[3], continuous=1)
    z = codes.sample(1, torch.Generator().manual_seed(0))[0]
    discrete, continuous = codes.codes
    by_class = moved(z, discrete, 4)
    assert by_class[:, 5:8].tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
    along = moved(z, continuous, 5)
    assert along[:, 8].tolist() == [-2, -1, 0, 1, 2]
    assert torch.equal(along[:, :8], z[:8].expand(5, -1))
    assert torch.equal(by_class[:, :5], z[:5].expand(4, -1))


def test_the_section_is_there_for_models_with_codes_only(tmp_path):
    model = zoo.train(
        "experiment=infogan_mnist", "datamodule=mnist_subset", "datamodule.image_size=28",
        "model.generator.base_channels=4", "model.generator.hidden=16",
        "model.discriminator.base_channels=4", "model.discriminator.hidden=16",
        "datamodule.batch_size=16", "trainer.max_steps=1", out=tmp_path / "run",
    )  # fmt: skip
    assert codes_grid(model, rows=2, scale=1).size[0] > 10 * 28
    summary = Explore(ckpt=str(tmp_path / "run"), sections=["codes"])(tmp_path / "out")
    assert "left out" not in summary
    assert (tmp_path / "out" / "codes.png").is_file()


def test_codes_of_points_are_drawn_in_the_plane(tmp_path):
    model = zoo.train(
        "datamodule=gaussians", "model/generator=mlp", "model/discriminator=mlp",
        "model/latent=codes", "model.generator.width=8", "model.discriminator.width=8",
        "datamodule.batch_size=16", "trainer.max_steps=1", out=tmp_path,
    )  # fmt: skip
    assert codes_grid(model, rows=2).size == (SIZE, SIZE)


def test_plain_noise_has_no_codes_to_show(models, tmp_path):
    with pytest.raises(ZooError, match="a latent with codes, but this one is plain noise"):
        codes_grid(models[0])
    summary = Explore(ckpt=str(models[0].file), sections=["codes"])(tmp_path)
    assert "codes (" in summary["left out"]
