"""Measure the time to reach an FID from the checkpoints of a training.

A row's `curve` is a list of [images seen, FID]. The seconds until a checkpoint are computed from
its images seen, assuming a constant rate.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path

from benchmarks import rows as table
from benchmarks.scored import evaluated
from zoo.core.tables import markdown

EVERY = 2000
"""The number of images between two checkpoints."""
CHECKPOINTS = [f"callbacks.checkpoints.every_n_images={EVERY}"]
"""The setting of a training that writes the checkpoints for a curve."""
FIDS = (50, 25, 10, 5, 2)
"""The FIDs whose times are reported."""
IMAGES = 2500
"""The number of images generated for each point of a curve."""


def curve(run: Path, threads: int, longest: float, how: Sequence[str] = ()) -> table.Row:
    """Evaluate the FID at every doubling of the images seen and at the end.

    The other numbered checkpoints of the run are deleted.

    Args:
        run: the folder of the run.
        threads: the number of threads.
        longest: the most seconds that the evaluation may take.
        how: further settings of `task=evaluate`.

    Returns:
        The `curve` and its `curve_protocol`.
    """
    folder = run / "checkpoints"
    files = sorted(folder.glob("images_*.ckpt"))
    doublings = {2**k - 1 for k in range(len(files).bit_length())}
    for place, file in enumerate(files):
        if place not in doublings:
            file.unlink()
    settings = [f"ckpt={folder}", "metrics=[fid]", f"n={IMAGES}", *how]
    results = evaluated(settings, threads, longest)
    return {
        "curve": [[result.images_seen, result.figures["fid"]] for result in results],
        "curve_protocol": str(results[-1].protocol),
    }


def seconds_to(row: table.Row, fid: float) -> float:
    """Return the seconds until the first checkpoint with at most this FID; infinite if none has."""
    reached = [images for images, value in row["curve"] if value <= fid]
    return float(row["seconds"] * reached[0] / row["images"]) if reached else float("inf")


def report(rows: list[table.Row], unit: str) -> list[str]:
    """Format the seconds to each FID as Markdown: for each family, the medians over its seeds.

    If a seed has several runs, the longest counts.
    """
    ordered = sorted(rows, key=itemgetter("seconds"))
    longest = {(row["family"], row["seed"]): row for row in ordered}
    drawn = [row for row in longest.values() if row.get("curve")]
    if not drawn:
        return []
    medians = {}
    for family in dict.fromkeys(row["family"] for row in drawn):
        group = [row for row in drawn if row["family"] == family]
        seconds = [statistics.median_high([seconds_to(r, fid) for r in group]) for fid in FIDS]
        medians[family] = (seconds, group)
    shown = [
        [family, table.seeds(group), *map(_in_words, seconds)]
        for family, (seconds, group) in sorted(medians.items(), key=lambda item: item[1][0][::-1])
    ]
    heads = ["family", "seeds", *(f"FID ≤ {fid}" for fid in FIDS)]
    protocols = dict.fromkeys(row["curve_protocol"] for row in drawn)
    return [
        "",
        "## Time to quality",
        "",
        f"In {unit}, until the first checkpoint with such an FID, the median over the seeds. They",
        "are written at every doubling of the images seen and at the end; a field is empty where",
        "the training ended before. Fewer images are scored than above, which makes an FID larger.",
        "",
        markdown(heads, shown),
        "",
        *(f"{protocol}\n" for protocol in protocols),
    ]


def _in_words(seconds: float) -> str:
    if seconds == float("inf"):
        return ""
    return f"{seconds:.3g}" if seconds < 1000 else f"{seconds:,.0f}"
