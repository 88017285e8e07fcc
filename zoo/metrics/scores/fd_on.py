"""The Fréchet distance on a feature network of the metric's own, whatever the others look at."""

from __future__ import annotations

from typing import Any, ClassVar

from zoo.metrics.comparison import Comparison
from zoo.metrics.distances import frechet_distance, singular_note
from zoo.metrics.features.base import Features, create_features
from zoo.metrics.scores.base import Metric


class FrechetOn(Metric):
    """The Fréchet distance of Gaussians fitted to features that the figure's name says.

    Attributes:
        features: the feature network.
    """

    features: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._network: Features | None = None

    def prepare(self) -> None:
        if self._network is None:
            self._network = create_features(self.features, **self._options)

    def settings(self) -> str:
        """The network by its weights and resizer, once it is there."""
        seen = self._network
        said = "" if seen is None else f" [{seen.weights_hash}], {seen.resizer}"
        return f"{self.name} on {self.features}{said}"

    def __call__(self, data: Comparison) -> dict[str, float]:
        self.prepare()
        assert self._network is not None
        generated, reference = data.vectors_on(self._network.to(data.device))
        data.notes += singular_note(self.name, generated, reference)
        return {self.name: frechet_distance(generated, reference)}
