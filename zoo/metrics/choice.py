"""Which metrics are measured: those named, or those that make sense."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from zoo.core.errors import ZooError, ZooWarning, listing
from zoo.metrics.comparison import Reference
from zoo.metrics.features.base import Features
from zoo.metrics.scores.base import Metric
from zoo.registry import REGISTRY, create_chosen, list_parts

Choice = str | dict[str, Any]
"""A metric's name, or its name and options: `{name: kid, subsets: 50}`."""


def create_metric(choice: Choice | Metric) -> Metric:
    """The metric that is meant; one that is made already as it is.

    Raises:
        ZooError: there is none of this name, or it has no such option.
    """
    if isinstance(choice, Metric):
        return choice
    nameless = f"the metric {choice} has no name: write {{name: kid, subsets: 50}}."
    made: Metric = create_chosen("metric", choice, nameless)
    return made


def check_metrics(
    metrics: Sequence[Choice | Metric],
    network: Features,
    reference: Reference,
    conditional: bool,
    has_codes: bool = False,
) -> None:
    """Refuse metrics that cannot work, before anything is generated.

    Raises:
        ZooError: an unknown metric, one without the labels, classifier or images that it needs,
            or a classifier of other classes.
    """
    for choice in metrics:
        made = create_metric(choice)
        name, needs = made.name, made.needs
        if "labels" in needs and not (conditional and reference.labels is not None):
            raise ZooError(
                f"metric {name} needs a conditional generator and labelled reference images; "
                f"{'there are no labels' if conditional else 'the generator takes no labels'}."
            )
        if "latent_codes" in needs and not has_codes:
            raise ZooError(
                f"metric {name} needs a generator that was trained with a categorical code in its "
                "latents, and this one has none: leave it out."
            )
        if "logits" in needs and not network.classes:
            raise ZooError(
                f"metric {name} needs a feature network with a classifier, {network.name} has "
                "none: leave it out or choose other features."
            )
        if "classes" in needs and reference.dataset not in network.labels_of:
            read = network.classes_of(reference.images.shape[1])
            if read != reference.num_classes:
                raise ZooError(
                    f"metric {name} needs a feature network that reads the "
                    f"{reference.num_classes} classes of {reference.dataset}, {network.name} reads "
                    f"{read} others: leave it out, or choose of features={_classifiers()} one "
                    "that fits."
                )
        if "train" in needs and reference.trained_on is None:
            raise ZooError(
                f"metric {name} compares with training images, and {reference.name} comes without: "
                "leave it out or give the reference its train_images."
            )
        if "test" in needs and reference.test_images is None:
            raise ZooError(
                f"metric {name} compares with real images that were not trained on, and "
                f"{reference.name} has no split test: leave it out, or give the data one."
            )
        made.prepare()


def is_better_higher(figure: str) -> bool:
    """Whether a metric says of its figure that it is better the higher it is."""
    return bool(REGISTRY.having("metric", lambda metric: figure in metric.higher_is_better))


def _classifiers() -> str:
    """The feature networks that read the classes of some data set."""
    return listing(p.name for p in REGISTRY.having("features", lambda f: bool(f.labels_of)))


def default_metrics(network: Features, reference: Reference, conditional: bool) -> list[str]:
    """The metrics that make sense for a data set, a feature network and a kind of generator.

    A plugin's that cannot be imported is left out with a warning.
    """
    chosen: list[tuple[int, str]] = []
    for name in list_parts("metric"):
        try:
            made = create_metric(name)
        except ZooError as error:
            warnings.warn(str(error), ZooWarning, stacklevel=2)
            continue
        if made.suits(network, reference, conditional):
            chosen.append((made.order, name))
    return [name for _, name in sorted(chosen)]
