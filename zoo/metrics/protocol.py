"""What a figure was measured by, and results that never part from it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.atomic import write_text
from zoo.core.errors import ZooError, listing

if TYPE_CHECKING:
    from torch import Tensor

HIGHER_IS_BETTER = frozenset(
    {
        "inception_score",
        "precision",
        "recall",
        "density",
        "coverage",
        "cas",
        "conditional_accuracy",
        "modes",
        "high_quality",
    }
)


@dataclass(frozen=True)
class Protocol:
    """Everything that a figure depends on beside the model.

    Attributes:
        reference: data set, split and image size, as `mnist/train 1x32x32`.
        reference_hash: of the reference images, 12 hex digits.
        reference_count, generated_count: images compared.
        features: the feature network.
        weights_hash: of its weights, 12 hex digits.
        resizer: how images reach its input.
        weights: `ema` or `raw` weights of the generator.
        batch_norm: `running` or `standing ...` statistics.
        labels: where the generator's labels come from; `none` for an unconditional one.
        truncation: of the latents, or `none`.
        settings: of the single metrics.
        seed: of latents, labels and subsets.
        zoo_version: of this package.
        precision: in which the generator's weights were stored.
    """

    reference: str
    reference_hash: str
    reference_count: int
    generated_count: int
    features: str
    weights_hash: str
    resizer: str
    weights: str
    batch_norm: str
    labels: str
    truncation: str
    settings: str
    seed: int
    zoo_version: str
    precision: str = "fp32"

    def differences(self, other: Protocol) -> list[str]:
        """The fields that forbid to compare figures; the seed is none of them."""
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        return [
            f"{name}: {mine[name]} / {theirs[name]}"
            for name in mine
            if name != "seed" and mine[name] != theirs[name]
        ]

    def __str__(self) -> str:
        return (
            f"{self.generated_count:,} generated images ({self.weights} weights in "
            f"{self.precision}, {self.batch_norm} batch-norm statistics, labels {self.labels}, "
            f"truncation {self.truncation}, seed {self.seed}) against "
            f"{self.reference_count:,} of {self.reference} [{self.reference_hash}]; features "
            f"{self.features} [{self.weights_hash}], {self.resizer}; "
            f"{self.settings}; zoo {self.zoo_version}"
        )


@dataclass
class Result:
    """The figures of one model with their protocol.

    Attributes:
        model: what the table calls it.
        protocol: how it was measured.
        figures: name to value, in the order of the metrics.
        per_class: name to one value per class.
        pairs: the generated images nearest to training images: (generated index, index in the
            split `train`, distance), closest first.
        pictures: their images, uint8 (pairs, 2, C, S, S); not kept in JSON.
        seconds: time it took.
        notes: what to keep in mind, in sentences.
        generator_hash: of the generator's parameters, 12 hex digits; empty where an older zoo
            measured.
    """

    model: str
    protocol: Protocol
    figures: dict[str, float]
    per_class: dict[str, list[float]] = field(default_factory=dict)
    pairs: list[tuple[int, int, float]] = field(default_factory=list)
    pictures: Tensor | None = field(default=None, repr=False, compare=False)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    generator_hash: str = ""

    def to_json(self) -> str:
        content = dataclasses.asdict(dataclasses.replace(self, pictures=None))
        del content["pictures"]
        return json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what `to_json` wrote.

        Raises:
            ZooError: it is something else.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            content["protocol"] = Protocol(**content["protocol"])
            content["figures"] = {k: _number_of(v) for k, v in content["figures"].items()}
            content["per_class"] = {
                name: [_number_of(v) for v in values]
                for name, values in content.get("per_class", {}).items()
            }
            content["pairs"] = [(int(g), int(r), float(d)) for g, r, d in content["pairs"]]
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ZooError(
                f"this is no result of task=evaluate ({type(error).__name__}: {error})."
            ) from error

    def save(self, path: Path) -> None:
        """Write `path` as JSON, in one go."""
        write_text(path, self.to_json())

    def updated(self, newer: Result) -> Result:
        """These figures with those of a newer result of the same protocol, which win."""
        return dataclasses.replace(
            newer,
            figures=self.figures | newer.figures,
            per_class=self.per_class | newer.per_class,
            pairs=newer.pairs or self.pairs,
            notes=list(dict.fromkeys([*self.notes, *newer.notes])),
        )

    def table(self) -> str:
        """The figures and the protocol as text."""
        return table([self])


def _without_nan(value: Any) -> Any:
    """The same with null in place of NaN, which JSON does not know (a class without images)."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number_of(value: float | None) -> float:
    return math.nan if value is None else value


def table(results: Sequence[Result]) -> str:
    """One row per result and the protocol below; figures that a model lacks are a dash.

    Raises:
        ZooError: there is no result, or the protocols differ.
    """
    if not results:
        raise ZooError("there is no result to show.")
    for other in results[1:]:
        differences = results[0].protocol.differences(other.protocol)
        if differences:
            raise ZooError(
                f"{results[0].model} and {other.model} were measured by different protocols and "
                f"do not belong in one table ({listing(differences).replace(', ', '; ')})."
            )
    names = list(dict.fromkeys(name for result in results for name in result.figures))
    if len(results) == 1:
        rows = [[heading(name), _number(results[0].figures[name])] for name in names]
        header = ["figure", results[0].model]
    else:
        rows = [[r.model, *(_number(r.figures.get(name)) for name in names)] for r in results]
        header = ["model", *map(heading, names)]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, ["-" * width for width in widths], *rows]
    ]
    seeds = sorted({result.protocol.seed for result in results})
    protocol = str(results[0].protocol)
    if len(seeds) > 1:
        protocol = protocol.replace(f"seed {results[0].protocol.seed}", f"seeds {listing(seeds)}")
    notes = list(dict.fromkeys(note for result in results for note in result.notes))
    return "\n".join([*lines, "", f"Protocol: {protocol}", *notes]) + "\n"


def same_protocol(results: Sequence[Result]) -> list[list[Result]]:
    """Results that may be compared, together; in the order in which protocols first occur."""
    groups: list[list[Result]] = []
    for result in results:
        for group in groups:
            if not group[0].protocol.differences(result.protocol):
                group.append(result)
                break
        else:
            groups.append([result])
    return groups


def tables(results: Sequence[Result]) -> str:
    """One table for each protocol, in the order in which they first occur."""
    return "\n".join(table(group) for group in same_protocol(results))


def heading(name: str) -> str:
    """A figure's name with the direction in which it gets better."""
    if name.endswith("_std") or name == "nearest_ratio":
        return name
    return f"{name} {'↑' if name in HIGHER_IS_BETTER else '↓'}"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.4g}"
