"""A training whose discriminator sees packs of images, and every use of D afterwards."""

from __future__ import annotations

import pytest
import torch
from helpers_train import train

import zoo

N = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("packs") / "run"
    train(
        out,
        "model/regularizer=[packing]",
        "model.regularizer.packing.images=3",
        "model.conditional=false",
        "datamodule.batch_size=12",
        "callbacks.diagnostics.after_images=0",
        "callbacks.diagnostics.every_n_steps=1",
        "trainer.max_steps=2",
    )
    return out


def test_diagnostics_and_scores_take_packs(run):
    model = zoo.load(run)
    images = model.sample(N + 2, seed=0)  # two more than fill packs
    scores = model.scores(images, batch_size=1)
    packed = images[:N].reshape(2, 3 * model.generator.channels, *images.shape[2:])
    with torch.no_grad():
        torch.testing.assert_close(scores, model.discriminator()(packed))


def test_labels_that_packs_leave_out_are_told(tmp_path, capsys):
    packs = ("model/regularizer=[packing]", "trainer.max_steps=1")
    train(tmp_path / "without", *packs)
    output = capsys.readouterr().out
    assert "note: the labels of mnist_subset are not used, since a pack of images has no" in output
    assert "unconditional" in output
    train(tmp_path / "asked", *packs, "model.conditional=false")
    assert "are not used, since a pack" not in capsys.readouterr().out


def test_a_report_says_what_a_score_is_of(run, tmp_path):
    from zoo.tasks.explore import Explore

    Explore(ckpt=str(run), sections=["scores"], n=N).run(zoo.Run(tmp_path))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Each score is for 3 images, which D sees as one." in text
