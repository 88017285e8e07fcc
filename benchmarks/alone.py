"""Measure `run.py`'s step and the plain loop's, each in a process of its own, as users run them.

In one process, contenders share the caches and the memory that the C library keeps, which changes
the time of each. `python -m benchmarks.alone run.py mlp_28 64` prints the seconds per step.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from zoo.cli.waiting import sleep_soon

if TYPE_CHECKING:
    from benchmarks.measure import Timing

CONTENDERS = ("plain", "run.py")


def measure(
    card: str, batch_size: int, rounds: int, bf16: bool = False, seconds: int = 5
) -> dict[str, Timing]:
    """Return the seconds per step of `run.py` and the plain loop in each process.

    Args:
        card: the name of the card.
        batch_size: the number of images in a batch.
        rounds: the number of processes of each contender; they take turns.
        bf16: whether `run.py` uses autocast to bf16.
        seconds: how long each process measures.
    """
    from benchmarks.measure import Timing, child

    found: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    options = [card, str(batch_size), "--seconds", str(seconds), *["--bf16"] * bf16]
    for turn in range(rounds):
        for name in CONTENDERS if turn % 2 else reversed(CONTENDERS):
            printed = child([sys.executable, "-m", "benchmarks.alone", name, *options])[2]
            found[name].append(json.loads(printed.splitlines()[-1]))
    return {name: Timing(tuple(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone", description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("card")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("--bf16", action="store_true", help="run.py uses autocast to bf16")
    parser.add_argument("--seconds", type=int, default=5, help="how long to measure")
    options = parser.parse_args()
    if options.contender == "run.py":
        sleep_soon()  # as run.py does before torch is imported
    import torch

    from benchmarks.cards import CARDS, plain
    from benchmarks.measure import interleaved, iterations_for, timed

    card = CARDS[options.card]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    step = plain(card, options.batch_size, device)["step"]
    if options.contender == "plain":
        timing = interleaved({"plain": step}, device, 10**6, options.seconds)["plain"]
    else:
        from benchmarks import lightning  # not beside the plain loop, which has no Lightning

        step()
        size = iterations_for(timed(step, 1, device), 1.0)
        timing = lightning.alone(card, options.batch_size, size, options.seconds, options.bf16)
    print(json.dumps(timing.median))


if __name__ == "__main__":
    main()
