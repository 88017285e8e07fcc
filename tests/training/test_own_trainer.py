"""What a user's own trainer, loader and weights may ask of a GAN."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

import zoo
from zoo.core.errors import ZooError


def make(**options):
    torch.manual_seed(0)
    return zoo.GAN("mlp", "mlp", "hinge", image_size=8, channels=1, **options)


def fit(gan, batches, **settings):
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(gan, torch.utils.data.DataLoader(batches, batch_size=None))
    return trainer


IMAGES = torch.zeros(4, 1, 8, 8)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "16-true"])
def test_a_precision_of_the_weights_is_refused_before_they_change(precision):
    gan = make()
    sentence = f"trainer.precision={precision} is not one of 32-true, bf16-mixed, 16-mixed; in all"
    with pytest.raises(ZooError, match=sentence):
        fit(gan, [IMAGES], max_steps=1, precision=precision)
    assert {p.dtype for p in gan.parameters()} == {torch.float32}
    fit(gan, [IMAGES], max_steps=1, precision="bf16-mixed")
    assert gan.sample(2).shape == (2, 1, 8, 8)
