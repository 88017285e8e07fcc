"""`task=evaluate`: measure the quality of generated images, and record how it was measured."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zoo.contracts.task import Run, Task
from zoo.core import cache
from zoo.core.atomic import write_text
from zoo.core.errors import ZooError, ZooWarning, listing, printable, shown
from zoo.registry import at_least, idle_beside, task
from zoo.tasks.log_results import check_tags, log_results

if TYPE_CHECKING:
    from zoo.inference.load import LoadedGenerator
    from zoo.metrics.comparison import Reference
    from zoo.metrics.features.base import Features
    from zoo.metrics.protocol import Result

SAMPLES = 10_000
"""The default number of generated images."""


@task("evaluate")
class Evaluate(Task):
    """Score trained generators or folders of images: FID, KID, PRDC, classes, modes, copies.

    Args:
        ckpt: a checkpoint, a run's folder, an exported file (`.pt2`; only from a source that you
            trust, because it can run code), the name of a model that comes with the zoo (`mnist`),
            `hf:owner/name`, or a list of these for one table. A pattern
            (`'RUN/checkpoints/images_*.ckpt'`) or a run's folder `checkpoints` stands for several
            checkpoints, and gives curves over images seen, as a table, CSV, JSON and PNG.
        images: a folder of generated images to evaluate instead of `ckpt`, or a list of folders;
            `dataset` then names the real images.
        image_size: the size to which the images of two folders are resized; 0 uses the shortest
            side of the generated images.
        metrics: some of `task=list kind=metric`, each by name or with options as in
            `{name: kid, subsets: 50}`; null uses those that suit the data.
        features: the feature network, one of `task=list kind=features`; `timm/NAME` is timm's model
            NAME; null uses the one for the data set.
        features_weights: a file of weights for `inception` or `timm`.
        features_resolution: the side to which `timm` and `efficientnet_lite` resize images; 0 uses
            the network's own.
        n: the number of generated images; null uses 10,000 (26,000 for Stacked-MNIST), or all
            images of a folder.
        dataset: the data set to compare with by name, or a folder of images; null uses the one that
            the model was trained on.
        split: the split of that data set.
        seed: the seed of latents, labels and subsets.
        refine: a sampler that uses the discriminator to choose latents, as in `task=sample`.
        truncation: the threshold for normal latents, or the factor of styles, as in `task=sample`.
        weights: `ema` or `raw`; null uses the EMA weights if the file has any.
        standing_statistics: the number of forward passes with which batch-norm statistics are
            recomputed; 0 keeps those of training.
        batch_size: the number of images generated and processed at a time.
        data_dir: the folder of data sets; null uses the environment variable ZOO_DATA_DIR, or else
            `data`.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """

    uses = ("logger", "tags")
    instead = {  # noqa: RUF012
        "datamodule": "dataset=NAME or dataset=FOLDER names the real images",
    }

    def __init__(
        self,
        ckpt: str | list[str] | None = None,
        images: str | list[str] | None = None,
        image_size: Annotated[int, at_least(0), idle_beside("ckpt")] = 0,
        metrics: list[str | dict[str, Any]] | None = None,
        features: str | None = None,
        features_weights: str | None = None,
        features_resolution: Annotated[int, at_least(0)] = 0,
        n: Annotated[int, at_least(2)] | None = None,
        dataset: str | None = None,
        split: Literal["train", "val", "test"] = "train",
        seed: int = 0,
        refine: Annotated[str | dict[str, Any] | None, idle_beside("images")] = None,
        truncation: Annotated[float, at_least(0), idle_beside("images")] | None = None,
        weights: Annotated[Literal["ema", "raw"] | None, idle_beside("images")] = None,
        standing_statistics: Annotated[int, at_least(0), idle_beside("images")] = 0,
        batch_size: Annotated[int, at_least(1)] = 500,
        data_dir: str | None = None,
        device: str = "auto",
    ) -> None:
        self.ckpt = ckpt
        self.images = images
        self.image_size = image_size
        self.metrics = metrics
        self.features = features
        self.features_weights = features_weights
        self.features_resolution = features_resolution
        self.n = n
        self.dataset = dataset
        self.split = split
        self.seed = seed
        self.refine = refine
        self.truncation = truncation
        self.weights = weights
        self.standing_statistics = standing_statistics
        self.batch_size = batch_size
        self.data_dir = data_dir or cache.data_dir()
        self.device = device
        self._references: dict[str, Reference] = {}
        self._networks: dict[str, Features] = {}

    def run(self, run: Run) -> dict[str, Any]:
        """Write the metrics as JSON and text, and the nearest real images, into the run's folder.

        The results of a training's checkpoints also go to `evaluations/` in that training's folder.

        Raises:
            ZooError: there is no such checkpoint, metric or feature network, or one does not suit
                the data.
        """
        from zoo.explore.measured import write_pictures
        from zoo.metrics.choice import create_metric
        from zoo.metrics.curve import in_order
        from zoo.metrics.protocol import tables

        check_tags(run)
        for choice in self.metrics or []:
            create_metric(choice)
        out = run.folder
        out.mkdir(parents=True, exist_ok=True)
        results = in_order(self.results())
        text = tables(results)
        print(printable(text, "\n"), flush=True)  # first, in case the disk is full
        write_text(out / "metrics.txt", text)
        files = [out / f"{_stem(i, len(results))}.json" for i in range(len(results))]
        for file, result in zip(files, results, strict=True):
            result.save(file)
        summary: dict[str, Any] = {
            "figures": listing(map(shown, files)),
            "table": out / "metrics.txt",
        }
        summary |= write_pictures(results, out, [file.stem for file in files])
        summary |= log_results(run, results)
        summary["seconds"] = round(sum(result.seconds for result in results), 1)
        self.printed = tuple(name for result in results for name in result.figures)
        if len(results) == 1:
            summary |= {k: float(f"{v:.6g}") for k, v in results[0].figures.items()}
        return summary

    def results(self) -> list[Result]:
        """Evaluate every requested checkpoint or folder of images.

        Raises:
            ZooError: neither `ckpt` nor `images` is given, or both are.
        """
        folders = [self.images] if isinstance(self.images, str) else list(self.images or [])
        checkpoints = [self.ckpt] if isinstance(self.ckpt, str) else list(self.ckpt or [])
        if bool(folders) == bool(checkpoints):
            raise ZooError(
                "task=evaluate needs ckpt=…: a checkpoint, a run's folder, or a name; or "
                "images=FOLDER instead of it."
            )
        if folders:
            return [self.score_pictures(folder) for folder in folders]
        return [result for file in checkpoints for result in self.score_checkpoints(file)]

    def score_checkpoints(self, path: str) -> Iterator[Result]:
        """Evaluate a checkpoint, or each of several; a generator that occurs twice counts once."""
        from zoo.inference.load import load
        from zoo.inference.locate import checkpoints_of
        from zoo.metrics.results import generator_hash, run_name

        files = checkpoints_of(path)
        seen: set[tuple[str, int]] = set()
        for file in files:
            try:
                model = load(file, weights=self.weights, device=self.device)
            except ZooError as error:
                if len(files) == 1:
                    raise
                warnings.warn(f"a checkpoint is left out: {error}", ZooWarning, stacklevel=2)
                continue
            key = (generator_hash(model.generator), model.images_seen)
            if key in seen:  # `last.ckpt` often equals one of the numbered checkpoints
                continue
            seen.add(key)
            name = model.info["generator"]["name"]
            run = run_name(model, file if len(files) == 1 else path)
            result = self.score(model, f"{name} ({run}, {model.images_seen:,} images seen)")
            result.run = run
            _save_with_run(result, model)
            yield result
        if not seen:
            raise ZooError(f"none of the {len(files)} files of ckpt={path} is a checkpoint.")

    def score_pictures(self, pictures: Any, reference: Reference | None = None) -> Result:
        """Evaluate generated images that already exist.

        Args:
            pictures: a folder, or a loader of images (N, C, H, W).
            reference: the real images; None uses those that `dataset` names.

        Raises:
            ZooError: an option that concerns a generator is set, or there are no real images to
                compare with.
        """
        from zoo.inference.load import choose_device
        from zoo.metrics.evaluate import Pictures, evaluate
        from zoo.metrics.folders import drawn_rows, pictures_of
        from zoo.metrics.references import loader_reference

        generator_options = {
            "weights": self.weights,
            "truncation": self.truncation,
            "refine": self.refine,
            "standing_statistics": self.standing_statistics or None,
        }
        useless = [name for name, value in generator_options.items() if value is not None]
        if useless:
            raise ZooError(
                f"{listing(useless)} applies to a generator, not to finished images (images=…)."
            )
        folder = Path(pictures) if isinstance(pictures, str | os.PathLike) else None
        notes: list[str] = []
        if reference is None:
            reference, notes = self._real_for(folder)
        if folder is not None:
            generated, more = pictures_of(folder, reference, self.n, self.seed)
            notes = [*more, *notes]
        else:
            loaded = loader_reference(pictures, reference.num_classes, generated=True)
            rows = drawn_rows(self.n, len(loaded.images), self.seed, "the loader")
            labels = None if loaded.labels is None else loaded.labels[rows]
            generated = Pictures(loaded.images[rows], labels, "as they are")
        result = evaluate(
            generated,
            reference,
            conditional=generated.labels is not None,
            metrics=self.metrics,
            features=self._features(reference),
            batch_size=self.batch_size,
            seed=self.seed,
            weights="none",
            batch_norm="none",
            precision="none",
            model="pictures" if folder is None else str(folder),
            device=choose_device(self.device),
        )
        result.notes = [*notes, *result.notes]
        return result

    def _real_for(self, folder: Path | None) -> tuple[Reference, list[str]]:
        """Return the real images that `dataset` names, at the size of a folder's, and notes."""
        from zoo.metrics.folders import real_for

        if folder is None or self.dataset is None:
            raise ZooError(
                "images=… needs dataset=…, the real images to compare with: a folder, or a name "
                "from task=list kind=datamodule"
            )
        return real_for(folder, self.dataset, self.split, self.image_size, self.data_dir)

    def score(
        self, model: LoadedGenerator, name: str, reference: Reference | None = None
    ) -> Result:
        """Evaluate one model.

        Args:
            model: the model.
            name: what the result calls it.
            reference: the real images; None uses those that `dataset` names.

        Raises:
            ZooError: the model and the real images have different classes, or are otherwise not
                comparable.
        """
        from zoo.inference.dataset import modes_of
        from zoo.inference.refine import in_words
        from zoo.metrics.evaluate import LatentSampler, evaluate
        from zoo.metrics.references import in_classes_of
        from zoo.metrics.results import generator_hash, run_name

        if self.standing_statistics:
            model = copy.copy(model)  # leave the caller's model unchanged
            model.generator = copy.deepcopy(model.generator)
            model.use_standing_statistics(self.standing_statistics, seed=self.seed)
        refiner = None
        if self.refine is not None:
            refiner = model.refiner(self.refine, self.seed, self.batch_size, self.truncation)
            if refiner.note:
                print(f"note: {refiner.note}")
        if reference is None:
            reference = self._reference_of(model)
        if model.num_classes and reference.num_classes not in (0, model.num_classes):
            raise ZooError(
                f"{model.file} has {model.num_classes} classes, but {reference.name} has "
                f"{reference.num_classes}: compare it with data of the same classes, or without "
                "classes."
            )
        names = model.data.get("class_names") if model.num_classes else None
        reference, notes = in_classes_of(reference, names or ())
        result = evaluate(
            LatentSampler(model.generator, self.seed, self.truncation, refiner),
            reference,
            conditional=model.num_classes > 0,
            num_classes=model.num_classes,
            metrics=self.metrics,
            features=self._features(reference),
            n=self.n if self.n is not None else reference.samples or SAMPLES,
            batch_size=self.batch_size,
            seed=self.seed,
            weights=model.weights,
            batch_norm=model.batch_norm,
            truncation=self.truncation,
            precision=model.precision,
            refine="none" if self.refine is None else in_words(self.refine),
            model=name,
            device=model.device,
        )
        result.notes = [*notes, *result.notes]
        result.generator_hash = generator_hash(model.generator)
        result.images_seen = model.images_seen
        result.run = run_name(model)
        result.modes = modes_of(model.data)
        return result

    def _reference_of(self, model: LoadedGenerator) -> Reference:
        """Return the real images for a model, opened once per training data set and image size."""
        from zoo.metrics.evaluate import reference_of

        generator, data = model.generator, model.data
        parts = [generator.image_size, generator.channels, data.get("name"), data.get("options")]
        key = json.dumps(parts, default=str)
        if key not in self._references:
            dataset = model.dataset(self.data_dir, self.dataset)
            self._references[key] = reference_of(dataset, self.split)
        return self._references[key]

    def _features(self, reference: Reference) -> Features:
        """Return the feature network, which is created once."""
        from zoo.metrics.evaluate import default_features
        from zoo.metrics.features.base import create_features

        name = self.features or default_features(reference)
        if name in self._networks:
            return self._networks[name]
        options: dict[str, Any] = {}
        if self.features_weights is not None:
            options["weights"] = self.features_weights
        if self.features_resolution:
            options["resolution"] = self.features_resolution
        self._networks[name] = create_features(name, **options)
        return self._networks[name]


def _stem(number: int, results: int) -> str:
    return "metrics" if results == 1 else f"metrics_{number}"


def _save_with_run(result: Result, model: LoadedGenerator) -> None:
    """Save a result in the training's folder, merged with earlier metrics by the same protocol."""
    from zoo.metrics.results import read_result, results_folder, run_folder

    run = run_folder(model.file)
    folder = None if run is None else results_folder(run)
    if folder is None or not os.access(folder.parent, os.W_OK):
        return
    key = hashlib.sha256(
        f"{result.protocol.of_the_model()} {result.generator_hash}".encode()
    ).hexdigest()[:8]
    file = folder / f"images_{model.images_seen:09d}_{key}.json"
    with contextlib.suppress(ZooError):  # there is no earlier file, or it is damaged
        result = read_result(file).updated(result)
    result.save(file)
