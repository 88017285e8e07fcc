"""What a figure was measured by, and results that never part from it."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.atomic import write_text
from zoo.core.errors import ZooError, listing
from zoo.core.tables import aligned

if TYPE_CHECKING:
    from torch import Tensor

_BEFORE = {"kid": "KID", "inception_score": "IS", "prdc": "PRDC", "cas": "CAS"}
_SILENT = ("fid", "modes", "point_modes", "conditional_accuracy", "per_class_fid", "memorization")
"""The metrics of results that kept one text of settings for all, and how their parts began."""
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
"""The zoo's own figures that are better the higher; a result names those of plugins."""
UNDIRECTED = frozenset({"nearest_ratio", "auth_pct", "c_t"})
"""Figures that are best at a value in the middle."""


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
        settings: of each metric that was measured, in words; empty where there is nothing to say.
        seed: of latents, labels and subsets.
        zoo_version: of this package.
        precision: in which the generator's weights were stored.
        pictures: how pictures that were there already came to their size; empty for a generator's.
        refine: the sampler that chose latents by the discriminator's word, with its options.
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
    settings: dict[str, str]
    seed: int
    zoo_version: str
    precision: str = "fp32"
    pictures: str = ""
    refine: str = "none"

    def differences(self, other: Protocol) -> list[str]:
        """What forbids to compare figures: fields, and the settings of metrics that both have.

        The seed and the zoo's version are none of them: a metric whose mathematics changes says so
        in its settings.
        """
        mine, theirs = dataclasses.asdict(self), dataclasses.asdict(other)
        for protocol in (mine, theirs):
            settings = protocol.pop("settings")
            protocol |= {f"settings of {name}": text for name, text in settings.items()}
        return [
            f"{name}: {mine[name] or 'none'} / {theirs[name] or 'none'}"
            for name in mine
            if name not in ("seed", "zoo_version") and name in theirs and mine[name] != theirs[name]
        ]

    def in_words(self) -> dict[str, Any]:
        """The fields by name, the settings of all metrics as one text."""
        settings = "; ".join(text for text in self.settings.values() if text)
        return {**dataclasses.asdict(self), "settings": settings}

    def of_the_model(self) -> str:
        """All but the metrics: results of one such text belong in one file."""
        return str(dataclasses.replace(self, settings={}, zoo_version=""))

    def __str__(self) -> str:
        settings = "".join(f"{text}; " for text in self.settings.values() if text)
        refined = "" if self.refine == "none" else f"refined by {self.refine}, "
        generated = (
            f"{self.generated_count:,} generated images ({self.weights} weights in "
            f"{self.precision}, {self.batch_norm} batch-norm statistics, labels {self.labels}, "
            f"truncation {self.truncation}, {refined}seed {self.seed})"
        )
        if self.pictures:
            generated = (
                f"{self.generated_count:,} pictures ({self.pictures}, labels {self.labels}, "
                f"seed {self.seed})"
            )
        return (
            f"{generated} against {self.reference_count:,} of {self.reference} "
            f"[{self.reference_hash}]; features {self.features} [{self.weights_hash}], "
            f"{self.resizer}; {settings}zoo {self.zoo_version}"
        )


def _settings(kept: dict[str, str] | str) -> dict[str, str]:
    """Settings by metric, also of a result that kept one text for all."""
    if not isinstance(kept, str):
        return dict(kept)
    texts = {text.partition(" ")[0]: text for text in kept.split("; ")}
    known = {name: texts[word] for name, word in _BEFORE.items() if word in texts}
    return dict.fromkeys(_SILENT, "") | known


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
        galleries: further generated images that a metric shows, by name and row: uint8
            (N, C, S, S); not kept in JSON.
        modes: of points of the plane, their middles (K, 2) for pictures; not kept in JSON.
        seconds: time it took.
        notes: what to keep in mind, in sentences.
        generator_hash: of the generator's parameters, 12 hex digits; empty where an older zoo
            measured.
        higher_is_better: figures that are, as their metrics say.
        run: which training the generator comes from; empty for pictures.
        images_seen: real images that it had been trained on.
    """

    model: str
    protocol: Protocol
    figures: dict[str, float]
    per_class: dict[str, list[float]] = field(default_factory=dict)
    pairs: list[tuple[int, int, float]] = field(default_factory=list)
    pictures: Tensor | None = field(default=None, repr=False, compare=False)
    galleries: dict[str, dict[str, Tensor]] = field(default_factory=dict, repr=False, compare=False)
    modes: Tensor | None = field(default=None, repr=False, compare=False)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    generator_hash: str = ""
    higher_is_better: list[str] = field(default_factory=list)
    run: str = ""
    images_seen: int = 0

    def to_json(self) -> str:
        shown: dict[str, Any] = {"pictures": None, "galleries": {}, "modes": None}
        content = dataclasses.asdict(dataclasses.replace(self, **shown))
        for name in shown:
            del content[name]
        return json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read what `to_json` wrote.

        Raises:
            ZooError: it is something else.
        """
        try:
            content: dict[str, Any] = json.loads(text)
            protocol = content["protocol"]
            protocol["settings"] = _settings(protocol["settings"])
            content["protocol"] = Protocol(**protocol)
            content["figures"] = {k: _number_of(v) for k, v in content["figures"].items()}
            content["per_class"] = {
                name: [_number_of(v) for v in values]
                for name, values in content.get("per_class", {}).items()
            }
            content["pairs"] = [(int(g), int(r), float(d)) for g, r, d in content["pairs"]]
            return cls(**content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
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
            protocol=merged([self, newer]),
            higher_is_better=sorted({*self.higher_is_better, *newer.higher_is_better}),
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
    for first, other in itertools.combinations(results, 2):
        differences = first.protocol.differences(other.protocol)
        if differences:
            raise ZooError(
                f"{first.model} and {other.model} were measured by different protocols and "
                f"do not belong in one table ({'; '.join(differences)})."
            )
    names = list(dict.fromkeys(name for result in results for name in result.figures))
    higher = {name for result in results for name in result.higher_is_better}
    if len(results) == 1:
        rows = [[heading(name, higher), _number(results[0].figures[name])] for name in names]
        header = ["figure", results[0].model]
    else:
        rows = [[r.model, *(_number(r.figures.get(name)) for name in names)] for r in results]
        header = ["model", *(heading(name, higher) for name in names)]
    seeds = sorted({result.protocol.seed for result in results})
    protocol = str(merged(results))
    if len(seeds) > 1:
        protocol = protocol.replace(f"seed {results[-1].protocol.seed}", f"seeds {listing(seeds)}")
    notes = list(dict.fromkeys(note for result in results for note in result.notes))
    return "\n".join([aligned(header, rows), "", f"Protocol: {protocol}", *notes]) + "\n"


def merged(results: Sequence[Result]) -> Protocol:
    """The last protocol, with the settings of the metrics of all and every version of the zoo."""
    protocols = [result.protocol for result in results]
    settings: dict[str, str] = {}
    for protocol in protocols:
        settings |= protocol.settings
    versions = sorted({v for protocol in protocols for v in protocol.zoo_version.split(", ")})
    return dataclasses.replace(protocols[-1], settings=settings, zoo_version=", ".join(versions))


def same_protocol(results: Sequence[Result]) -> list[list[Result]]:
    """Results that may be compared, together; in the order in which protocols first occur."""
    groups: list[list[Result]] = []
    for result in results:
        for group in groups:
            if not any(member.protocol.differences(result.protocol) for member in group):
                group.append(result)
                break
        else:
            groups.append([result])
    return groups


def tables(results: Sequence[Result]) -> str:
    """One table for each protocol, in the order in which they first occur."""
    return "\n".join(table(group) for group in same_protocol(results))


def heading(name: str, higher: Collection[str] = ()) -> str:
    """A figure's name with the direction in which it gets better.

    Args:
        higher: figures beside the zoo's own that are better the higher they are.
    """
    if name.endswith("_std") or name in UNDIRECTED:
        return name
    return f"{name} {'↑' if name in HIGHER_IS_BETTER or name in higher else '↓'}"


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.4g}"
