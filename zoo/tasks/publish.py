"""`task=publish`: publish a checkpoint with a model card on the hub, or in a folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from zoo.cli.program import program
from zoo.contracts.task import Run, Task
from zoo.core.errors import ZooError, at_least
from zoo.registry import task


@task("publish")
class Publish(Task):
    """Publish a trained generator with a model card, on the Hugging Face hub or into a folder.

    The card contains the metrics, with their protocol, that `task=evaluate` wrote into the run's
    folder, or that an already published model has in its card.

    Args:
        ckpt: a checkpoint, a run's folder, a safetensors file, or a name.
        repo: `owner/name` on the hub, or `file:/some/folder`.
        evaluation: a result of `task=evaluate` (JSON) in another place.
        dataset: what the card calls the data set; null uses the name of the training's datamodule,
            which may be as unspecific as `image_folder`.
        note: a sentence for the card, for example about the origin of the data.
        dtype: the data type of the published weights.
        weights: `ema` or `raw`; null uses the EMA weights if the file has any.
        standing_statistics: the number of forward passes with which batch-norm statistics are
            recomputed first; 0 keeps those of training.
        license: the hub's identifier of a license for the card: `mit`, `cc-by-4.0`.
        private: whether a repository that this creates is private.
    """

    writes_files = False

    def __init__(
        self,
        ckpt: str | None = None,
        repo: str | None = None,
        evaluation: str | None = None,
        dataset: str | None = None,
        note: str | None = None,
        dtype: Literal["fp32", "fp16", "bf16"] = "bf16",
        weights: Literal["ema", "raw"] | None = None,
        standing_statistics: Annotated[int, at_least(0)] = 0,
        license: str | None = None,
        private: bool = False,
    ) -> None:
        self.ckpt = ckpt
        self.repo = repo
        self.evaluation = evaluation
        self.dataset = dataset
        self.note = note
        self.dtype = dtype
        self.weights = weights
        self.standing_statistics = standing_statistics
        self.license = license
        self.private = private

    def run(self, run: Run) -> dict[str, Any]:
        """Publish the model and return a summary.

        Raises:
            ZooError: there is no such checkpoint or result, or the hub refuses or cannot be
                reached.
        """
        from zoo.inference.load import load
        from zoo.inference.publish import described, publish, title_of
        from zoo.metrics.protocol import tables
        from zoo.metrics.results import find_results

        if self.ckpt is None or self.repo is None:
            raise ZooError("task=publish needs ckpt=… and repo=owner/name or repo=file:/folder.")
        model = described(load(self.ckpt, weights=self.weights), self.dataset, self.note)
        if self.standing_statistics:
            model.use_standing_statistics(self.standing_statistics)
        # The result of a checkpoint outside a run has its path as heading; use the title instead.
        title = title_of(model)
        results = [replace(r, model=title) for r in find_results(model, self.evaluation)]
        return publish(
            model,
            self.repo,
            dtype=self.dtype,
            license=self.license,
            private=self.private,
            figures=tables(results).strip() if results else "",
            program=program(elsewhere=True),
        )
