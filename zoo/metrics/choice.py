"""The choice of metrics: creating those that a user names, and finding suitable defaults."""

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
    """Create a metric from its name or its name and options; a metric is returned unchanged.

    Raises:
        ZooError: there is no metric of this name, or it has no such option.
    """
    if isinstance(choice, Metric):
        return choice
    nameless = f"the metric {choice} has no name: write, for instance, {{name: kid, subsets: 50}}."
    metric: Metric = create_chosen("metric", choice, nameless)
    return metric


def check_metrics(
    metrics: Sequence[Choice | Metric],
    network: Features,
    reference: Reference,
    conditional: bool,
    has_codes: bool = False,
) -> None:
    """Refuse metrics that cannot work, before any images are generated.

    Args:
        metrics: the metrics to check.
        network: the feature network.
        reference: the real images.
        conditional: whether the generator takes labels.
        has_codes: whether the generator's latents have a categorical code.

    Raises:
        ZooError: a metric is unknown, lacks the labels, classifier or images that it needs, or
            the classifier has other classes than the data.
    """
    for choice in metrics:
        metric = create_metric(choice)
        name, needs = metric.name, metric.needs
        if "labels" in needs and not (conditional and reference.labels is not None):
            raise ZooError(
                f"metric {name} needs a conditional generator and labelled reference images; "
                f"{'there are no labels' if conditional else 'the generator takes no labels'}."
            )
        if "latent_codes" in needs and not has_codes:
            raise ZooError(
                f"metric {name} needs a generator that was trained with a categorical code in its "
                "latents, but this one has none: leave the metric out."
            )
        if "logits" in needs and not network.classes:
            raise ZooError(
                f"metric {name} needs a feature network with a classifier, but {network.name} has "
                "none: leave the metric out or choose other features."
            )
        if "classes" in needs and reference.dataset not in network.labels_of:
            count = network.classes_of(reference.images.shape[1])
            if count != reference.num_classes:
                raise ZooError(
                    f"metric {name} needs a feature network that recognizes the "
                    f"{reference.num_classes} classes of {reference.dataset}, but {network.name} "
                    f"recognizes {count} others: leave the metric out, or choose features for this "
                    f"data set among {_classifiers()}."
                )
        if "train" in needs and reference.trained_on is None:
            raise ZooError(
                f"metric {name} compares with training images, but {reference.name} has none: "
                "leave the metric out or pass train_images to the reference."
            )
        if "test" in needs and reference.test_images is None:
            raise ZooError(
                f"metric {name} compares with real images that were not trained on, but "
                f"{reference.name} has no test split: leave the metric out, or use data with one."
            )
        metric.prepare()


def is_better_higher(figure: str) -> bool:
    """Whether higher values of `figure` are better, according to the metric that computes it."""
    return bool(REGISTRY.having("metric", lambda metric: figure in metric.higher_is_better))


def _classifiers() -> str:
    """List the feature networks that recognize the classes of some data set."""
    return listing(p.name for p in REGISTRY.having("features", lambda f: bool(f.labels_of)))


def default_metrics(network: Features, reference: Reference, conditional: bool) -> list[str]:
    """Return the metrics that suit a feature network, a data set and a kind of generator.

    The metric of a plugin that cannot be imported is left out with a warning.
    """
    suitable: list[tuple[int, str]] = []
    for name in list_parts("metric"):
        try:
            metric = create_metric(name)
        except ZooError as error:
            warnings.warn(str(error), ZooWarning, stacklevel=2)
            continue
        if metric.suits(network, reference, conditional):
            suitable.append((metric.order, name))
    return [name for _, name in sorted(suitable)]
