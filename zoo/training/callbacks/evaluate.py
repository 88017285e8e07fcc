"""Evaluating the generator during training, with metrics logged and stored with their protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pytorch_lightning as pl

from zoo.core.errors import listing
from zoo.core.random import forked_random
from zoo.metrics.choice import check_metrics, create_metric, default_metrics
from zoo.metrics.comparison import Reference
from zoo.metrics.evaluate import LatentSampler, default_features, evaluate, reference_of
from zoo.metrics.features.base import Features, create_features
from zoo.metrics.protocol import Result
from zoo.metrics.results import generator_hash, read_results
from zoo.registry import at_least, callback
from zoo.training.callbacks.base import Measures, Recurring, evaluation_mode
from zoo.training.callbacks.logs import log_table


@callback("evaluate")
class Evaluate(Recurring, Measures):
    """Evaluates the generator during training, as `task=evaluate` does afterwards.

    The metrics are logged under their names (`fid`, `precision`, ...) and written to `evaluations/`
    in the run's folder. With `callbacks.checkpoints.monitor=fid`, they determine the best
    checkpoint. The random numbers of the training are not affected.

    Args:
        folder: The run's folder.
        every_n_images: Evaluate whenever n more real images have been seen; null not to.
        every_n_epochs: Evaluate at the end of every n-th epoch; null not to.
        metrics: The names of the metrics, or with options, `{name: kid, subsets: 50}`; null for
            those that suit the data set.
        features: The name of the feature network; null for the one that suits the data set.
        n: The number of generated images. Fewer are faster, but give a higher FID.
        split: The split of the data set to compare with.
        seed: The seed of latents, labels and subsets, the same for each evaluation.
        batch_size: The number of images generated at a time.

    Attributes:
        last: The newest result.
    """

    def __init__(
        self,
        folder: str,
        every_n_images: Annotated[int, at_least(1)] | None = None,
        every_n_epochs: Annotated[int, at_least(1)] | None = 1,
        metrics: list[str | dict[str, Any]] | None = None,
        features: str | None = None,
        n: Annotated[int, at_least(2)] = 5000,
        split: Literal["train", "val", "test"] = "train",
        seed: int = 0,
        batch_size: Annotated[int, at_least(1)] = 500,
    ) -> None:
        for choice in metrics or []:
            create_metric(choice)
        self.folder = Path(folder) / "evaluations"
        self.every_n_images = every_n_images
        self.every_n_epochs = every_n_epochs
        self.metrics = metrics
        self._chosen: Sequence[str | dict[str, Any]] = metrics or []
        self.features = features
        self.n = n
        self.split = split
        self.seed = seed
        self.batch_size = batch_size
        self.last: Result | None = None
        self._evaluated = -1
        self._network: Features | None = None
        self._reference: Reference | None = None

    def figures(self) -> set[str] | None:
        sets = [create_metric(choice).figures for choice in self._chosen]
        return set().union(*(s or () for s in sets)) if sets and None not in sets else None

    def summary(self) -> dict[str, Any]:
        if self.last is None:
            return {}
        figures = listing(f"{k} {v:.4g}" for k, v in self.last.figures.items())
        return {"figures": figures, "protocol": self.folder}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        # On every process, so that all of them fail together if something is missing.
        with forked_random():
            self._reference = reference_of(trainer.datamodule, self.split)  # type: ignore[attr-defined]
            name = self.features or default_features(self._reference)
            self._network = create_features(name).to(pl_module.device)
        conditional = pl_module.generator.num_classes > 0
        self._chosen = self.metrics or default_metrics(self._network, self._reference, conditional)
        has_codes = LatentSampler(pl_module.sampled_generator, self.seed).has_codes
        check_metrics(self._chosen, self._network, self._reference, conditional, has_codes)
        super().on_train_start(trainer, pl_module)
        self._evaluated = pl_module.images_seen

    def act(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.evaluate(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        super().on_train_end(trainer, pl_module)
        if trainer.is_global_zero:  # a table of all evaluations, including those before a resume
            results = read_results(
                sorted(f for f in self.folder.glob("images_*.json") if f.stem[7:].isdigit())
            )
            rows = [
                {"images_seen": int(file.stem.removeprefix("images_")), **result.figures}
                for file, result in results.items()
            ]
            log_table(trainer.loggers, "figures", rows, trainer.global_step)

    def evaluate(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Evaluate the current generator, unless this has been done at the same images seen."""
        seen = pl_module.images_seen
        if seen == self._evaluated:
            return
        self._evaluated = seen
        pl_module.check_finite()
        figures: dict[str, float] = {}
        if trainer.is_global_zero:
            self.last = self._score(pl_module)
            self.last.generator_hash = generator_hash(pl_module.sampled_generator)
            self.last.save(self.folder / f"images_{seen:09d}.json")
            figures = self.last.figures
        if trainer.world_size > 1:
            figures = trainer.strategy.broadcast(figures)
        self.report(trainer, pl_module, figures)

    def _score(self, pl_module: Any) -> Result:
        assert self._reference is not None
        generator = pl_module.sampled_generator
        with evaluation_mode(generator):
            return evaluate(
                LatentSampler(generator, self.seed),
                self._reference,
                conditional=generator.num_classes > 0,
                metrics=self._chosen,
                features=self._network,
                n=self.n,
                batch_size=self.batch_size,
                seed=self.seed,
                weights="ema" if pl_module.ema is not None else "raw",
                model=f"{pl_module.images_seen:,} images seen",
                device=pl_module.device,
                progress=False,
            )
