"""Protocols, which record everything that a metric depends on, and results that contain them."""

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
"""For old results, which have one text of settings for all metrics: how each metric's part of it
begins."""
_SILENT = ("fid", "modes", "point_modes", "conditional_accuracy", "per_class_fid", "memorization")
"""The metrics that do not occur in this text because they have no settings."""
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
"""The zoo's own figures of which higher values are better; results name those of plugins."""
UNDIRECTED = frozenset({"nearest_ratio", "auth_pct", "c_t"})
"""Figures whose best value is neither the lowest nor the highest."""


@dataclass(frozen=True)
class Protocol:
    """Everything that a result depends on besides the model.

    Attributes:
        reference: the data set, split and image size, for instance `mnist/train 1x32x32`.
        reference_hash: a hash of the reference images, 12 hex digits.
        reference_count: the number of reference images.
        generated_count: the number of generated images.
        features: the name of the feature network.
        weights_hash: a hash of its weights, 12 hex digits.
        resizer: how images are resized for its input.
        weights: the weights of the generator that were used, `ema` or `raw`.
        batch_norm: its batch-norm statistics, `running` or `standing ...`.
        labels: where the generator's labels came from; `none` for an unconditional generator.
        truncation: the truncation of the latents, or `none`.
        settings: a description of the settings of each metric; empty for one without settings.
        seed: the seed of latents, labels and subsets.
        zoo_version: the version of this package.
        precision: the precision in which the generator's weights were stored.
        pictures: for images generated before, how they were brought to their size; else empty.
        refine: the method that used the discriminator to select latents, with its options, or
            `none`.
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
        """Describe the differences that make results incomparable.

        These are differing fields, and differing settings of metrics that both have. The seed and
        the version do not count: a metric whose mathematics changes says so in its settings.
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
        """Return the fields by name, with the settings of all metrics as one text."""
        settings = "; ".join(text for text in self.settings.values() if text)
        return {**dataclasses.asdict(self), "settings": settings}

    def of_the_model(self) -> str:
        """Return everything but the metrics as text; results with equal texts share a file."""
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


def _settings(stored: dict[str, str] | str) -> dict[str, str]:
    """Return the settings by metric, also for an old result with one text for all of them."""
    if not isinstance(stored, str):
        return dict(stored)
    texts = {text.partition(" ")[0]: text for text in stored.split("; ")}
    by_metric = {name: texts[word] for name, word in _BEFORE.items() if word in texts}
    return dict.fromkeys(_SILENT, "") | by_metric


@dataclass
class Result:
    """The metric values ("figures") of one model, with the protocol by which they were measured.

    Attributes:
        model: the name of the model in tables.
        protocol: how the figures were measured.
        figures: the value of each figure by name, in the order of the metrics.
        per_class: figures with one value per class, by name.
        pairs: the generated images nearest to training images, as (generated index, index in the
            split `train`, distance), closest first.
        pictures: the images of these pairs, uint8 (pairs, 2, C, H, W); not stored in JSON.
        galleries: further generated images that a metric shows, by gallery and row, uint8
            (N, C, H, W); not stored in JSON.
        modes: the centres (K, 2) of the modes of points in the plane, for plots; not stored in
            JSON.
        seconds: the time that the evaluation took.
        notes: sentences about what to keep in mind.
        generator_hash: a hash of the generator's parameters, 12 hex digits; empty in results of old
            versions.
        higher_is_better: the figures of which higher values are better, according to their metrics.
        run: the training run that the generator comes from; empty for images generated before.
        images_seen: the number of real images that the generator had been trained on.
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
        """Return the result as JSON, without images and plots, with null in place of NaN."""
        omitted: dict[str, Any] = {"pictures": None, "galleries": {}, "modes": None}
        content = dataclasses.asdict(dataclasses.replace(self, **omitted))
        for name in omitted:
            del content[name]
        return json.dumps(_without_nan(content), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Result:
        """Read a result from the JSON that `to_json` returns.

        Raises:
            ZooError: the text is something else.
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
                f"this is not a result of task=evaluate ({type(error).__name__}: {error})."
            ) from error

    def save(self, path: Path) -> None:
        """Write the result to `path` as JSON."""
        write_text(path, self.to_json())

    def updated(self, newer: Result) -> Result:
        """Return these figures updated with those of a newer result of the same protocol."""
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
        """Return the figures and the protocol as text."""
        return table([self])


def _without_nan(value: Any) -> Any:
    """Replace NaN and infinities, which JSON lacks, by None; classes without images have NaN."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number_of(value: float | None) -> float:
    return math.nan if value is None else value


def table(results: Sequence[Result]) -> str:
    """Format results as a table with one row each and the protocol below.

    A single result gets one row per figure instead. Figures that a model lacks are shown as a dash.

    Raises:
        ZooError: there are no results, or their protocols differ.
    """
    if not results:
        raise ZooError("there are no results to show.")
    for first, other in itertools.combinations(results, 2):
        differences = first.protocol.differences(other.protocol)
        if differences:
            raise ZooError(
                f"{first.model} and {other.model} were measured by different protocols and "
                f"cannot be compared in one table ({'; '.join(differences)})."
            )
    names = list(dict.fromkeys(name for result in results for name in result.figures))
    higher = {name for result in results for name in result.higher_is_better}
    if len(results) == 1:
        rows = [[heading(name, higher), _number(results[0].figures[name])] for name in names]
        header = ["metric", results[0].model]
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
    """Return the last protocol with the metric settings and versions of all results."""
    protocols = [result.protocol for result in results]
    settings: dict[str, str] = {}
    for protocol in protocols:
        settings |= protocol.settings
    versions = sorted({v for protocol in protocols for v in protocol.zoo_version.split(", ")})
    return dataclasses.replace(protocols[-1], settings=settings, zoo_version=", ".join(versions))


def same_protocol(results: Sequence[Result]) -> list[list[Result]]:
    """Group results that may be compared, in the order in which their protocols first occur."""
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
    """Format one table for each protocol, in the order in which these first occur."""
    return "\n".join(table(group) for group in same_protocol(results))


def heading(name: str, higher: Collection[str] = ()) -> str:
    """Return the name of a figure with an arrow in the direction of better values.

    Args:
        name: the name of the figure.
        higher: figures of which higher values are better, in addition to the zoo's own.
    """
    if name.endswith("_std") or name in UNDIRECTED:
        return name
    return f"{name} {'↑' if name in HIGHER_IS_BETTER or name in higher else '↓'}"


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if value == int(value) and abs(value) >= 10 else f"{value:.4g}"
