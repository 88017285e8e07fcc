"""Measure the peak memory of a contender in its own process.

`python -m benchmarks.memory dcgan_32 zoo 64` prints the bytes.
"""

from __future__ import annotations

import json
import sys

import torch

from benchmarks.cards import CARDS, contenders
from benchmarks.measure import resident

STEPS = 3


def main(card: str, contender: str, batch_size: str) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # Load libraries and allocate their initial buffers before measuring.
    torch.nn.functional.conv2d(
        torch.randn(1, 3, 8, 8, device=device), torch.randn(4, 3, 3, 3).to(device)
    )
    before = resident("VmHWM")
    step = contenders(device)[contender](CARDS[card], int(batch_size), device)["step"]
    # Two more steps, since the first three of a captured contender only warm up.
    for _ in range(STEPS + (2 if "captured" in contender else 0)):
        step()
    if device.type == "cuda":
        print(json.dumps(torch.cuda.max_memory_allocated(device)))
    else:
        print(json.dumps(resident("VmHWM") - before))


if __name__ == "__main__":
    main(*sys.argv[1:])
