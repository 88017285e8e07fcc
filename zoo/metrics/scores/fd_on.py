"""The base class of Fréchet distances that use a fixed feature network of their own."""

from __future__ import annotations

from typing import Any, ClassVar

from zoo.metrics.comparison import Comparison
from zoo.metrics.distances import bias_note, frechet_distance
from zoo.metrics.features.base import Features, create_features
from zoo.metrics.scores.base import Metric


class FrechetOn(Metric):
    """The Fréchet distance on a fixed feature network, whatever features other metrics use.

    Args:
        options: options of the feature network.

    Attributes:
        features: the name of the feature network.
    """

    features: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._network: Features | None = None

    def prepare(self) -> None:
        if self._network is None:
            self._network = create_features(self.features, **self._options)

    def settings(self) -> str:
        """Describe the network, with its weights and resizer once it has been loaded."""
        network = self._network
        details = "" if network is None else f" [{network.weights_hash}], {network.resizer}"
        return f"{self.name} on {self.features}{details}"

    def __call__(self, data: Comparison) -> dict[str, float]:
        self.prepare()
        assert self._network is not None
        generated, reference = data.vectors_on(self._network.to(data.device))
        data.notes += bias_note(self.name, generated, reference)
        return {self.name: frechet_distance(generated, reference)}
