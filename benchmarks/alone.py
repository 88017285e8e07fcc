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

SECONDS = 5.0
"""How long a process measures."""


def measure(card: str, batch_size: int, rounds: int, bf16: bool = False) -> dict[str, Timing]:
    """Return the seconds per step of `run.py` and the plain loop in each process.

    Args:
        card: the name of the card.
        batch_size: the number of images in a batch.
        rounds: the number of processes of each contender; they take turns.
        bf16: whether `run.py` uses autocast to bf16.
    """
    from benchmarks.measure import Timing, child

    seconds: dict[str, list[float]] = {"plain": [], "run.py": []}
    for turn in range(rounds):
        for name in [*seconds] if turn % 2 else [*reversed(seconds)]:
            command = [sys.executable, "-m", "benchmarks.alone", name, card, str(batch_size)]
            printed = child([*command, *["--bf16"] * bf16])[2]
            seconds[name].append(json.loads(printed.splitlines()[-1]))
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alone", description=__doc__)
    parser.add_argument("contender", choices=("plain", "run.py"))
    parser.add_argument("card")
    parser.add_argument("batch_size", type=int)
    parser.add_argument("--bf16", action="store_true", help="run.py uses autocast to bf16")
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
        timing = interleaved({"plain": step}, device, rounds=10_000, budget=SECONDS)["plain"]
    else:
        from benchmarks import lightning  # not beside the plain loop, which has no Lightning

        step()
        size = iterations_for(timed(step, 1, device), 1.0)
        timing = lightning.alone(card, options.batch_size, size, round(SECONDS), options.bf16)
    print(json.dumps(timing.median))


if __name__ == "__main__":
    main()
