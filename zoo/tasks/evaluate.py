"""`task=evaluate`: how good a trained generator is, with the protocol beside every figure."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.core.errors import ZooError, listing
from zoo.registry import create, task

if TYPE_CHECKING:
    from zoo.inference.load import LoadedGenerator
    from zoo.metrics.comparison import Reference
    from zoo.metrics.features.base import Features
    from zoo.metrics.protocol import Result

STACKED_SAMPLES = 26_000
SAMPLES = 10_000
PICTURE_COLUMNS = 16


@task("evaluate")
class Evaluate:
    """Score trained generators: FID, KID, IS, PRDC, class and mode figures, memorization.

    Args:
        ckpt: a checkpoint, a run's folder, an exported file (`.pt2`: only one that you
            trust, it can run code), a name of the embedded zoo (`mnist`), `hf:owner/name`, or a
            list of them for one table.
        metrics: some of `task=list kind=metric`, one with options as `{name: kid, subsets: 50}`;
            null takes those that make sense.
        features: the network to compare by, one of `task=list kind=features`; `timm/NAME` is
            timm's model NAME; null takes the one for the data set.
        features_weights: a weight file for `inception` or `timm`.
        features_resolution: side to which `timm` and `efficientnet_lite` scale images; 0 takes
            their own.
        n: generated images; null takes 10,000, or 26,000 for Stacked-MNIST.
        dataset: the data set to compare with, by name, or a folder of pictures; null takes the one
            it was trained on.
        split: of it.
        seed: of latents, labels and subsets.
        truncation: threshold on normal latents, or factor of styles, as in `task=sample`.
        weights: `ema` or `raw`; null takes the averaged ones where there are any.
        standing_statistics: forward passes to recompute batch-norm statistics with; 0 keeps those
            of training.
        batch_size: images generated and looked at together.
        data_dir: the folder of data sets; null takes the environment's ZOO_DATA_DIR, else `data`.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """

    told: list[str]
    instead = {  # noqa: RUF012
        "datamodule": "dataset=NAME or dataset=FOLDER names the real images",
    }

    def __init__(
        self,
        ckpt: str | list[str] | None = None,
        metrics: list[str | dict[str, Any]] | None = None,
        features: str | None = None,
        features_weights: str | None = None,
        features_resolution: int = 0,
        n: int | None = None,
        dataset: str | None = None,
        split: Literal["train", "val", "test"] = "train",
        seed: int = 0,
        truncation: float | None = None,
        weights: Literal["ema", "raw"] | None = None,
        standing_statistics: int = 0,
        batch_size: int = 500,
        data_dir: str | None = None,
        device: str = "auto",
    ) -> None:
        self.ckpt = ckpt
        self.metrics = metrics
        self.features = features
        self.features_weights = features_weights
        self.features_resolution = features_resolution
        self.n = n
        self.dataset = dataset
        self.split = split
        self.seed = seed
        self.truncation = truncation
        self.weights = weights
        self.standing_statistics = standing_statistics
        self.batch_size = batch_size
        self.data_dir = data_dir or os.environ.get("ZOO_DATA_DIR", "data")
        self.device = device

    def __call__(self, out: Path) -> dict[str, Any]:
        """Write the figures as JSON and text, and the nearest real images, into `out`.

        Results of a run's checkpoint also go to `evaluations/` in the run's folder.

        Raises:
            ZooError: no such checkpoint, metric or feature network, or one that does not go with
                the data.
        """
        from zoo.inference.load import load
        from zoo.metrics.choice import create_metric
        from zoo.metrics.protocol import tables
        from zoo.metrics.results import generator_hash

        files = [self.ckpt] if isinstance(self.ckpt, str) else list(self.ckpt or [])
        if not files:
            raise ZooError("task=evaluate needs ckpt=…: a checkpoint, a run's folder, or a name.")
        for choice in self.metrics or []:
            create_metric(choice)
        out = Path(out)
        out.mkdir(parents=True, exist_ok=True)
        results, written = [], []
        for i, file in enumerate(files):
            model = load(file, weights=self.weights, device=self.device)
            result = self.score(model, _name(model, file))
            result.generator_hash = generator_hash(model.generator)
            stem = "metrics" if len(files) == 1 else f"metrics_{i}"
            result.save(out / f"{stem}.json")
            written.append(out / f"{stem}.json")
            _keep_with_run(result, model)
            if result.pictures is not None:
                self._write_pairs(result, out / f"nearest{stem.removeprefix('metrics')}.png")
            results.append(result)
        text = tables(results)
        (out / "metrics.txt").write_text(text, encoding="utf-8")
        print(text)
        summary: dict[str, Any] = {"figures": listing(written), "table": out / "metrics.txt"}
        if any(result.pictures is not None for result in results):
            summary["nearest"] = f"{out / 'nearest*.png'} (generated over its nearest real image)"
        summary["seconds"] = round(sum(result.seconds for result in results), 1)
        self.told = [name for result in results for name in result.figures]
        if len(results) == 1:
            summary |= {k: float(f"{v:.6g}") for k, v in results[0].figures.items()}
        return summary

    def score(
        self, model: LoadedGenerator, name: str, reference: Reference | None = None
    ) -> Result:
        """The figures of one model, by default against the data set asked for."""
        from zoo.metrics.evaluate import evaluate, reference_of, sampler

        if reference is None:
            reference = reference_of(model.dataset(self.data_dir, self.dataset), self.split)
        if model.num_classes and model.num_classes != reference.num_classes:
            raise ZooError(
                f"{model.file} has {model.num_classes} classes, and {reference.name} has "
                f"{reference.num_classes}: compare it with data of its own classes."
            )
        if self.standing_statistics:
            model.use_standing_statistics(self.standing_statistics, seed=self.seed)
        stacked = reference.dataset == "stacked_mnist"
        return evaluate(
            sampler(model.generator, self.seed, self.truncation),
            reference,
            conditional=model.num_classes > 0,
            metrics=self.metrics,
            features=self._features(reference),
            n=self.n if self.n is not None else STACKED_SAMPLES if stacked else SAMPLES,
            batch_size=self.batch_size,
            seed=self.seed,
            weights=model.weights,
            batch_norm=model.batch_norm,
            truncation=self.truncation,
            precision=model.precision,
            model=name,
            device=model.device,
        )

    def _features(self, reference: Reference) -> Features:
        from zoo.metrics.evaluate import default_features
        from zoo.metrics.features.base import create_features

        options: dict[str, Any] = {}
        if self.features_weights is not None:
            options["weights"] = self.features_weights
        if self.features_resolution:
            options["resolution"] = self.features_resolution
        return create_features(self.features or default_features(reference.dataset), **options)

    def _write_pairs(self, result: Result, path: Path) -> None:
        import torch

        from zoo.inference.images import grid, write_png

        assert result.pictures is not None
        rows = [row.transpose(0, 1).flatten(0, 1) for row in result.pictures.split(PICTURE_COLUMNS)]
        write_png(grid(torch.cat(rows), PICTURE_COLUMNS), path)


def evaluate(model: Any, data: Any = None, **options: Any) -> Result:
    """Score a trained generator: FID, KID, precision, recall …, with the protocol beside them.

        result = zoo.evaluate("mnist", data="mnist_subset", n=2000, metrics=["fid"])
        result = zoo.evaluate(model, data="my_pictures/", features="inception")
        result = zoo.evaluate(model, data=loader)
        print(result.figures["fid"], result.table())

    Args:
        model: a loaded model, a `GAN`, or what `zoo.load` takes.
        data: real images to compare with: the name of a data set, a folder of pictures, a data
            module, or a loader of images (N, C, H, W), uint8 or float in [-1, 1], or of pairs of
            images and labels; None takes the data set that the model was trained on.
        options: those of `task=evaluate`: `n`, `metrics`, `features`, `seed`, `split` …

    Raises:
        ZooError: as `task=evaluate`; or data that is none of these.
    """
    from zoo.data.base import DataModule
    from zoo.inference.load import LoadedGenerator, load
    from zoo.metrics.evaluate import default_features, reference_of
    from zoo.metrics.references import loader_reference
    from zoo.training.gan import GAN

    if isinstance(model, GAN):
        model = model.snapshot()
    if not isinstance(model, LoadedGenerator):
        chosen = {k: options[k] for k in ("weights", "device") if options.get(k)}
        model = load(model, **chosen)
    named = isinstance(data, str | os.PathLike)
    if named:
        options["dataset"] = os.fspath(data)
    task: Evaluate = create("task", "evaluate", **options)
    reference = None
    if isinstance(data, DataModule):
        reference = reference_of(data, task.split)
    elif data is not None and not named:
        reference = loader_reference(data, model.num_classes)
        if task.features is None:  # the images are of the kind that it was trained on
            task.features = default_features(str(model.data.get("name")))
    return task.score(model, repr(model), reference)


def _name(model: LoadedGenerator, file: str) -> str:
    from zoo.metrics.results import run_folder

    run = run_folder(model.file)
    where = run.name if run is not None else file
    return f"{model.info['generator']['name']} ({where}, {model.images_seen:,} images seen)"


def _keep_with_run(result: Result, model: LoadedGenerator) -> None:
    """Put the result where the run's report finds it, beside its other figures by this protocol."""
    from zoo.metrics.results import read_result, run_folder

    run = run_folder(model.file)
    if run is None or not os.access(run, os.W_OK):
        return
    key = hashlib.sha256(
        f"{result.protocol.of_the_model()} {result.generator_hash}".encode()
    ).hexdigest()[:8]
    file = run / "evaluations" / f"images_{model.images_seen:09d}_{key}.json"
    with contextlib.suppress(ZooError):  # there is none yet, or it is damaged
        result = read_result(file).updated(result)
    result.save(file)
