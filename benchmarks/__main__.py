"""Measure everything and write the report as Markdown, PNG and JSON: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import allocator, alone, curves, drift, lightning, pipeline, report, scale, startup
from benchmarks.cards import CARDS
from benchmarks.measure import (
    ROOT,
    Timing,
    flops,
    interleaved,
    kind_of,
    machine,
    peak_flops,
    peak_memory,
)
from benchmarks.suite import TITLES, Case, cases
from zoo.core.processor import emulates_bf16

LONG = ("drift", "ddp", "allocator", "curves")
"""The parts that quick mode omits."""
PARTS = (*TITLES, "lightning", "alone", "pipeline", "folder", "startup", "memory", "scale", *LONG)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small batches, few rounds")
    parser.add_argument(
        "--part", action="append", choices=PARTS, metavar="NAME", help=f"one of {', '.join(PARTS)}"
    )
    parser.add_argument("--card", action="append", choices=list(CARDS), help="only these cards")
    parser.add_argument("--compiled", action="store_true", help="also with torch.compile (minutes)")
    parser.add_argument("--update", action="store_true", help="keep what the last report has")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = kind_of(device)
    file = options.out / f"{name}.json"
    found: dict[str, Any] = {}
    if options.update and file.exists():
        found = json.loads(file.read_text(encoding="utf-8"))
    parts = options.part or [p for p in PARTS if not (options.quick and p in LONG)]
    found["machine"] = machine(device)
    found.setdefault("cases", {})
    found.setdefault("dates", {})
    for case in cases(options.quick, device):
        if case.part in parts and (not options.card or case.card.name in options.card):
            print(f"{case.part} {case.name} …", flush=True)
            found["cases"][f"{case.part} {case.name}"] = run(case, device, options)
            report.write(found, options.out, name)
    for part in parts:
        if part not in TITLES:
            print(f"{part} …", flush=True)
            measured = other(part, device, options.quick, options.card or list(CARDS))
            found[part] = {**found.get(part, {}), **measured} if options.card else measured
            found["dates"][part] = found["machine"]["date"]
            report.write(found, options.out, name)
    print(f"report: {file.with_suffix('.md')}")


def run(case: Case, device: torch.device, options: argparse.Namespace) -> dict[str, Any]:
    """Time all contenders of a case in turn, after measuring the peak FLOP/s of the machine."""
    peak = {"fp32": peak_flops(device)}
    if not emulates_bf16(device):
        peak["bf16"] = peak_flops(device, torch.bfloat16)
    functions = {}
    for name, contender in case.contenders(device, options.compiled).items():
        function = case.function(contender, device)
        if function is not None:
            functions[name] = function
    # The operations of a captured or compiled step cannot be counted; they are those of "zoo".
    work = {name: flops(f) for name, f in functions.items() if not _hidden(name)}
    budget, rounds = (8.0, 5) if options.quick else (30.0, 25)
    timings = interleaved(
        functions, device, rounds, budget, warmup=5 if device.type == "cuda" else 2
    )
    rows = {}
    for name, timing in timings.items():
        gflop = work.get(name, work["zoo"]) / 1e9
        rows[name] = {
            "ms": 1e3 * timing.median,
            "images_per_second": case.batch_size / timing.median,
            "speedup": timing.speedup(timings["plain"]),
            "gflop": gflop,
            "of_peak": 1e9 * gflop / timing.median / peak["bf16" if "bf16" in name else "fp32"],
            "rounds": len(timing.seconds),
        }
    return {
        "part": case.part,
        "name": case.name,
        "batch_size": case.batch_size,
        "date": machine(device)["date"],
        "peak": peak,
        "rows": rows,
    }


def _hidden(name: str) -> bool:
    return "captured" in name or "compiled" in name


def other(part: str, device: torch.device, quick: bool, chosen: list[str]) -> dict[str, Any]:
    """Measure a part other than the comparisons of steps, on the chosen cards if it has any."""
    if part == "lightning":
        return _lightning(device, quick, chosen)
    if part == "alone":
        return _alone(device, quick, chosen)
    if part == "pipeline":
        found = {}
        for flip in (False, True):
            timings = interleaved(pipeline.from_memory(flip), torch.device("cpu"), 7, 10.0)
            found["from memory, with flips" if flip else "from memory"] = {
                name: pipeline.BATCH / t.median for name, t in timings.items()
            }
        return found
    if part == "folder":
        with tempfile.TemporaryDirectory() as folder:
            return dict(pipeline.folder_rates(Path(folder), 512 if quick else 8192))
    if part == "startup":
        return startup.measure(1 if quick else 3)
    if part == "memory":
        cards = [c for c in chosen if not quick or not CARDS[c].heavy]
        return {card: _megabytes(card, device, 1 if quick else 3) for card in cards}
    if part == "scale":
        budget = 2.0 if quick else 8.0
        return {
            "batch": scale.over_batches(device, budget),
            "image_size": scale.over_sizes(device, budget),
        }
    if part == "allocator":
        return {card: allocator.measure(card, 16) for card in ("dcgan_64", "sngan_32")}
    if part == "curves":
        return curves.measure(device)
    if part == "drift":
        return drift.measure(50_000)
    return scale.processes(60 if quick else 300)


def _lightning(device: torch.device, quick: bool, chosen: list[str]) -> dict[str, Any]:
    found = {}
    for card in map(CARDS.__getitem__, chosen):
        if quick and card.heavy:
            continue
        slow = card.heavy and device.type == "cpu"
        rounds = 3 if quick else 5 if slow else 15
        for bf16 in (False,) if emulates_bf16(device) else (False, True):
            run = lightning.measure(card, 64, rounds, bf16)
            found[f"{card.name}, batch 64{', bf16' * bf16}"] = _rows(run)
    if not quick or "mlp_28" in chosen:
        found["no updates, batch 64"] = _rows(lightning.without_updates(64, 3 if quick else 15))
    return found


def _alone(device: torch.device, quick: bool, chosen: list[str]) -> dict[str, Any]:
    rounds, seconds = (1, 1) if quick else (5, 5)
    found = {}
    for card in (name for name in chosen if not CARDS[name].heavy):
        for bf16 in (False,) if emulates_bf16(device) else (False, True):
            timings = alone.measure(card, 64, rounds, bf16, seconds)
            found[f"{card}, batch 64{', bf16' * bf16}"] = _against_plain(timings)
    return found


def _rows(run: lightning.Run) -> dict[str, Any]:
    end = {"ms": 1e3 * run.epoch_end, "speedup": None}
    return {**_against_plain(run.timings), "end of an epoch": end}


def _against_plain(timings: dict[str, Timing]) -> dict[str, Any]:
    plain = timings.get("plain")
    return {
        name: {"ms": 1e3 * timing.median, "speedup": timing.speedup(plain) if plain else None}
        for name, timing in timings.items()
    }


def _megabytes(card: str, device: torch.device, rounds: int) -> dict[str, float]:
    names = ["plain", "zoo", *(["zoo, captured"] if device.type == "cuda" else [])]
    peaks: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, values in peaks.items():
            values.append(peak_memory(card, name, 64) / 1e6)
    return {name: statistics.median(values) for name, values in peaks.items()}


if __name__ == "__main__":
    main()
