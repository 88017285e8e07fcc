"""Measure `trainer.keep_memory=true`, which affects a whole process, in separate processes.

`python -m benchmarks.allocator sngan_32 zoo 16 keep` prints the seconds per update of D.
"""

from __future__ import annotations

import sys

from benchmarks.measure import Timing, child


def main(card: str, contender: str, batch_size: str, *keep: str) -> None:
    if keep:
        from zoo.training.allocator import keep_memory

        keep_memory()
    import torch

    from benchmarks.cards import CARDS, contenders
    from benchmarks.measure import interleaved

    device = torch.device("cpu")
    update = contenders(device)[contender](CARDS[card], int(batch_size), device)["d"]
    print(interleaved({"d": update}, device, rounds=5, budget=10.0)["d"].median)


def measure(card: str, batch_size: int, rounds: int = 3) -> dict[str, float]:
    """Time an update of D in turn: plain loop, zoo, and zoo with `keep_memory`."""
    contenders = {"plain": ["plain"], "zoo": ["zoo"], "zoo, keep_memory": ["zoo", "keep"]}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, (contender, *keep) in contenders.items():
            command = [sys.executable, "-m", "benchmarks.allocator", card, contender]
            printed = child([*command, str(batch_size), *keep])[2]
            seconds[name].append(float(printed.splitlines()[-1]))
    timings = {name: Timing(tuple(s)) for name, s in seconds.items()}
    return {
        "ms, plain": 1e3 * timings["plain"].median,
        "ms, zoo": 1e3 * timings["zoo"].median,
        "ms, zoo with keep_memory": 1e3 * timings["zoo, keep_memory"].median,
        "zoo over plain": timings["zoo"].speedup(timings["plain"]),
        "with keep_memory over plain": timings["zoo, keep_memory"].speedup(timings["plain"]),
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
