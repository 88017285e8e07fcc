"""Write README.md's section on speed from the reports in `results`: `python -m benchmarks.readme`.

A test checks that README agrees with the results.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
BEGIN = "<!-- speed: made by `python -m benchmarks.readme` -->"
END = "<!-- end of speed -->"
SUMMARY = "Speeds, by kind of processor: batch 64, fp32 unless stated otherwise"
UPDATES = {
    "step mlp_28": "MLP 28×28, D and G",
    "step dcgan_32": "DCGAN 32×32, 1 channel, D and G",
    "step dcgan_64": "DCGAN 64×64, 3 channels, D and G",
    "discriminator sngan_32": "SNGAN ResNet 32, D",
    "discriminator wgan_gp_32": "WGAN-GP ResNet 32, D",
    "step r3gan_32": "R3GAN (small) 32×32, D and G",
    "step biggan_32": "BigGAN 32×32, D and G",
    "step stylegan2_32": "StyleGAN2 32×32, D and G",
    "step gat_32": "GAT (small) 32×32, D and G",
}
CONTENDERS = {
    "tuned": "tuned loop",
    "zoo": "zoo",
    "zoo, bf16": "zoo, bf16",
    "zoo, captured": "zoo, captured",
    "torchgan": "torchgan 0.1.0",
    "mimicry": "mimicry",
}
"""The columns, by the names of rows in the reports."""
NAMES = {"mlp_28": "MLP", "dcgan_32": "DCGAN-32", "dcgan_64": "DCGAN-64", "sngan_32": "SNGAN"}
NAMES |= {"wgan_gp_32": "WGAN-GP"}


KINDS = {
    "cpu-avx2": "Processors with AVX2",
    "cpu-avx512-amd": "AMD's processors with AVX-512",
    "cpu-avx512-intel": "Intel's processors with AVX-512",
    "cpu-avx512-bf16-amd": "AMD's processors with AVX-512 and bf16",
    "cpu-avx512-bf16-intel": "Intel's processors with AVX-512 and bf16",
    "cuda": "GPUs",
}
"""The title of each kind of processor by the name of its report, in the order of the section."""
BESIDE = {"pipeline", "folder", "memory", "drift", "ddp"}
"""The parts of a report that the table of everything but the step needs."""


def speed() -> str:
    """Return the section between the markers, from all reports in `results`."""
    reports = {
        name: json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        for name in KINDS
        if (RESULTS / f"{name}.json").exists()
    }
    parts = [_headline(reports), f"<details>\n<summary>{SUMMARY}</summary>"]
    for name, found in reports.items():
        parts += _kind(name, KINDS[name], found)
    return "\n\n".join([*parts, "</details>"])


def _headline(reports: dict[str, Any]) -> str:
    """Describe the speed-up of the step on processors, and captured as a CUDA graph on GPUs."""
    on_gpu = {name: found for name, found in reports.items() if name == "cuda"}
    others = {name: found for name, found in reports.items() if name != "cuda"}
    text = (
        "Compared with a plain PyTorch loop, as in a tutorial, on the same networks with the same "
        f"mathematics, both run in\nturn, the step is {_span(others, 'zoo')} times as fast in "
        "fp32 on two cores; `run.py` around it keeps most of that.\nThe tuned loop has what three "
        "lines change: fused Adam, D frozen in G's update, channels-last memory. Compared\nwith "
        f"it, the step is {_over_tuned(others)} times as fast."
    )
    if on_gpu:
        span = _span(on_gpu, "zoo, captured")
        text += (
            "\nOn a GPU, where it is captured as a CUDA graph, it is "
            f"{span} times as fast as the plain loop, which is not."
        )
    return text


def _span(reports: dict[str, Any], contender: str) -> str:
    ratios = [
        found["cases"][case]["rows"][contender]["speedup"]
        for found in reports.values()
        for case in UPDATES
        if contender in found["cases"].get(case, {}).get("rows", {})
    ]
    return f"{min(ratios):.1f} to {max(ratios):.1f}"


def _over_tuned(reports: dict[str, Any]) -> str:
    rows = [
        found["cases"][case]["rows"]
        for found in reports.values()
        for case in UPDATES
        if "tuned" in found["cases"].get(case, {}).get("rows", {})
    ]
    ratios = [row["tuned"]["ms"] / row["zoo"]["ms"] for row in rows]
    return f"{min(ratios):.1f} to {max(ratios):.1f}"


def _kind(name: str, title: str, found: dict[str, Any]) -> list[str]:
    machine = found["machine"]
    processor = f"{machine['cores']} cores of an {machine['processor']}"
    place = processor if machine["device"] == "cpu" else f"one {machine['device']}"
    parts = [f"**{title}**", _updates(found["cases"])]
    parts += [_through_run(found)] if "lightning" in found else []
    parts += [_beside(found)] if found.keys() >= BESIDE else []
    parts.append(
        f"Made by `python -m benchmarks` on {place}, torch {machine['torch'].split('+')[0]}, "
        f"Python {machine['python']}, {machine['date']}; "
        f"[the whole report](benchmarks/results/{name}.md), "
        f"[its plots](benchmarks/results/{name}.png)."
    )
    return parts


def _updates(cases: dict[str, Any]) -> str:
    chosen = {title: cases[case]["rows"] for case, title in UPDATES.items() if case in cases}
    shown = [c for c in CONTENDERS if any(c in rows for rows in chosen.values())]
    heads = ["update", "plain loop", *(CONTENDERS[name] for name in shown)]
    lines = [heads, ["---"] * len(heads)]
    for title, rows in chosen.items():
        ratios = [f"{rows[n]['speedup']:.2f} ×" if n in rows else "" for n in shown]
        lines.append([title, _time(rows["plain"]["ms"]), *ratios])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _through_run(found: dict[str, Any]) -> str:
    text = (
        "The same in `run.py`, with Lightning, progress bar, log and checkpoints, for D and G at\n"
        f"batch 64: {_ratios(found['lightning'])}."
    )
    if "alone" in found:
        text += (
            "\nWith `run.py` and the plain loop each in a process of its own: "
            f"{_ratios(found['alone'])}."
        )
    return text


def _ratios(rows: dict[str, Any]) -> str:
    """List the speed-ups of `run.py` by card, those in bf16 last."""
    cells: dict[str, list[str]] = {"": [], "bf16": []}
    for key, row in rows.items():
        card, _, rest = key.partition(",")
        if card in NAMES and "run.py" in row:
            cells["bf16" if "bf16" in rest else ""].append(
                f"{NAMES[card]} {row['run.py']['speedup']:.2f} ×"
            )
    in_bf16 = f"; in bf16 {', '.join(cells['bf16'])}" if cells["bf16"] else ""
    return f"{', '.join(cells[''])}{in_bf16}"


def _beside(found: dict[str, Any]) -> str:
    memory, folder, pipeline = found["memory"], found["folder"], found["pipeline"]
    plain_folder = folder["torchvision ImageFolder, 2 workers"]
    kinds = [pipeline["from memory"], pipeline["from memory, with flips"]]
    drift, ddp = found["drift"], found["ddp"]
    rows = [
        (
            "32×32 images from memory, without and with flips, images/s",
            _both(k["torchvision in a DataLoader"] for k in kinds),
            _both(k["zoo"] for k in kinds),
        ),
        (
            "a folder of JPEGs, first epoch and later ones, images/s",
            f"{plain_folder:,.0f}",
            _both([folder["zoo, first epoch"], folder["zoo, later epochs"]]),
        ),
        (
            f"peak memory of three steps at batch 64, MB: {', '.join(NAMES[n] for n in memory)}",
            ", ".join(f"{row['plain']:,.0f}" for row in memory.values()),
            ", ".join(f"{row['zoo']:,.0f}" for row in memory.values()),
        ),
        (
            f"one step of the MLP in {drift['steps']:,.0f}, second tenth and last, ms",
            "",
            f"{drift['ms, second tenth']:.1f} and {drift['ms, last tenth']:.1f}",
        ),
        ("efficiency of two processes of DDP", "", f"{ddp['efficiency']:.2f}"),
    ]
    head = ["| besides the step | torchvision, plain loop | zoo |", "|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _both(values: Any) -> str:
    return " and ".join(f"{value:,.0f}" for value in values)


def _time(ms: float) -> str:
    return f"{ms / 1000:.2f} s" if ms >= 1000 else f"{ms:.0f} ms"


def current(text: str) -> str:
    """Return what README's text has between the markers."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__).parse_args()
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = f"{before}{BEGIN}\n{speed()}\n\n{END}{after}"
    README.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
