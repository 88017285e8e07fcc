"""Run one training step of a recipe at full width, on random images, and measure its memory.

`python tests/support/one_step.py stylegan3_ffhq256 256 4` prints the process's peak in bytes.
"""

from __future__ import annotations

import sys
import warnings

import pytorch_lightning as pl
import torch
from recipes import Pictures, Watch, composed

from benchmarks.measure import resident
from zoo.training.build import build_gan


def main(recipe: str, image_size: str, batch_size: str, *overrides: str) -> None:
    torch.manual_seed(0)
    data = Pictures(int(image_size), 3, int(batch_size))
    gan = build_gan(composed(recipe, *overrides)["model"], data)
    data.images_per_step = gan.d_steps * data.batch_size
    watch = Watch()
    warnings.simplefilter("ignore")
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=[watch],
    )
    trainer.fit(gan, datamodule=data)
    assert torch.tensor(watch.rows).isfinite().all()
    print(resident("VmHWM"))


if __name__ == "__main__":
    main(*sys.argv[1:])
