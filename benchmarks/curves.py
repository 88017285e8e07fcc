"""Compare training in bf16 with fp32: the losses of both on real digits, from the same seed.

Processors without bf16 emulate it slowly. They round between operations as processors with bf16
do, but not always within an operation.
"""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict

import torch

from benchmarks.pipeline import endless
from zoo import registry
from zoo.data.pixels import to_float
from zoo.training.optimizers import adam
from zoo.training.step import AdversarialStep

BATCH, WINDOW, SIZE = 32, 10, 32
LOSSES = ("loss_d", "loss_g")

Curves = dict[str, list[float]]


def train(device: torch.device, steps: int, bf16: bool) -> Curves:
    """Train a small DCGAN and return the means of its losses over every `WINDOW` steps."""
    data = registry.create("datamodule", "mnist_subset", image_size=SIZE, batch_size=BATCH)
    batches = endless(data.train_dataloader())
    torch.manual_seed(0)
    shape = {"image_size": SIZE, "channels": 1, "base_channels": 16}
    networks = (
        registry.create("generator", "dcgan", latent_dim=100, **shape),
        registry.create("discriminator", "dcgan", **shape),
    )
    g, d = (network.to(device, memory_format=torch.channels_last) for network in networks)
    optimizers = (adam(network.parameters(), 2e-4, (0.5, 0.999)) for network in (g, d))
    step = AdversarialStep(g, d, registry.create("loss", "bce"), *optimizers)
    values = defaultdict(list)
    for index in range(steps):
        images = to_float(next(batches)[0].to(device)).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16) if bf16 else contextlib.nullcontext():
            found = step(images, None, index)
        for name in LOSSES:
            values[name].append(float(found[name]))
    return {
        name: [statistics.mean(v[i : i + WINDOW]) for i in range(0, steps, WINDOW)]
        for name, v in values.items()
    }


def measure(device: torch.device, steps: int = 400) -> dict[str, Curves]:
    """Return the loss curves in both precisions."""
    return {"fp32": train(device, steps, False), "bf16": train(device, steps, True)}
