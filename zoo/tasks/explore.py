"""`task=explore`: pictures of what a generator learned, and one report that holds them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zoo.errors import ZooError, listing, suggest
from zoo.registry import task

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.checkpoint import LoadedGenerator
    from zoo.explore.report import Section

TITLES = {
    "interpolation": "Between latents",
    "classes": "Between classes",
    "sefa": "SeFa directions",
    "neighbours": "Nearest training images",
    "tsne": "Map of features",
    "spectrum": "Frequency spectrum",
    "scores": "What the discriminator sees",
    "curves": "Training curves",
    "diagnostics": "What the training said",
}
SECTIONS = tuple(TITLES)


@task("explore")
class Explore:
    """Interpolations, SeFa directions, neighbours, t-SNE, spectra, scores: pictures and a report.

    What cannot be made (no data set, no classes, no discriminator in the file) is left out, and
    the report says why.

    Args:
        ckpt: a checkpoint, a run's folder, an exported file (`.pt2`: only one that you
            trust, it can run code), a name, or `hf:owner/name`.
        sections: some of `interpolation`, `classes`, `sefa`, `neighbours`, `tsne`, `spectrum`,
            `scores`, `curves`, `diagnostics`; null makes all.
        dataset: the data set of the real images; null takes the one it was trained on.
        n: generated images that are held against real ones.
        n_real: real (training) images they are held against.
        directions: SeFa directions.
        neighbours: real images beside each generated one.
        features: what neighbours and t-SNE compare by: a feature network of `task=evaluate`, or
            `pixels`; null takes the network for the data set, or pixels where it is missing.
        truncation: threshold on the latents in standard deviations.
        evaluation: a result of `task=evaluate` (JSON) for the report; null takes those in the
            run's folder.
        seed: of everything random.
        weights: `ema` or `raw`; null takes the averaged ones where there are any.
        data_dir: the folder of data sets; null takes the environment's ZOO_DATA_DIR, else `data`.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """

    def __init__(
        self,
        ckpt: str | None = None,
        sections: list[str] | None = None,
        dataset: str | None = None,
        n: int = 500,
        n_real: int = 5000,
        directions: int = 6,
        neighbours: int = 7,
        features: str | None = None,
        truncation: float | None = None,
        evaluation: str | None = None,
        seed: int = 0,
        weights: Literal["ema", "raw"] | None = None,
        data_dir: str | None = None,
        device: str = "auto",
    ) -> None:
        self.ckpt = ckpt
        self.sections = sections
        self.dataset = dataset
        self.n = n
        self.n_real = n_real
        self.directions = directions
        self.neighbours = neighbours
        self.features = features
        self.truncation = truncation
        self.evaluation = evaluation
        self.seed = seed
        self.weights = weights
        self.data_dir = data_dir or os.environ.get("ZOO_DATA_DIR", "data")
        self.device = device

    def __call__(self, out: Path) -> dict[str, Any]:
        """Write the pictures and `report.html` into the folder `out`.

        Raises:
            ZooError: no such checkpoint or result, an unknown section, or an option out of range.
        """
        from zoo.checkpoint import load
        from zoo.explore.evaluations import find_results
        from zoo.explore.report import write_report

        if self.ckpt is None:
            raise ZooError("task=explore needs ckpt=…: a checkpoint, a run's folder, or a name.")
        if self.n < 1 or self.n_real < 1:
            raise ZooError(f"n={self.n} and n_real={self.n_real} must be 1 or more images.")
        chosen = self._chosen()
        self._check_features()
        model = load(self.ckpt, weights=self.weights, device=self.device)
        results = find_results(model, self.evaluation)
        out = Path(out)
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ZooError(f"cannot write into {out}: {error.strerror}.") from error
        makers = _Makers(self, model, out)
        sections, left_out = [], []
        for name in chosen:
            make: Callable[[], Section] = getattr(makers, name)
            try:
                sections.append(make())
            except ZooError as error:
                left_out.append(f"{name} ({error})")
                sections.append(makers.missing(name, str(error)))
        path = write_report(
            out / "report.html",
            f"{model.info['generator']['name']} on {model.data.get('name')}",
            _facts(model),
            sections,
            [{"figures": r.figures, "protocol": dataclasses.asdict(r.protocol)} for r in results],
        )
        summary: dict[str, Any] = {"model": repr(model), "pictures": out, "report": path}
        if left_out:
            summary["left out"] = "; ".join(left_out)
        return summary

    def _check_features(self) -> None:
        from zoo.metrics.features import list_features

        name, choices = self.features, ["pixels", *list_features()]
        if name is None or name in choices or name.startswith("timm/"):
            return
        raise ZooError(
            f"features={name} is no feature network.{suggest(name, choices)} "
            f"Choices: {listing(choices)}."
        )

    def _chosen(self) -> list[str]:
        for name in self.sections or ():
            if name not in SECTIONS:
                raise ZooError(
                    f"sections: there is no {name!r}.{suggest(name, SECTIONS)} "
                    f"Choices: {listing(SECTIONS)}."
                )
        return [name for name in SECTIONS if self.sections is None or name in self.sections]


class _Makers:
    """One method per section; what several of them need is made once."""

    def __init__(self, task: Explore, model: LoadedGenerator, out: Path) -> None:
        self.task = task
        self.model = model
        self.out = out
        self._samples: tuple[Tensor, Tensor | None] | None = None
        self._real: tuple[Tensor, Tensor] | ZooError | None = None
        self._vectors: tuple[Tensor, Tensor, str] | None = None

    def section(self, name: str, text: str, diagram: bool = False) -> Section:
        from zoo.explore.report import Section

        return Section(name, TITLES[name], text, self.out / f"{name}.png", diagram)

    def missing(self, name: str, reason: str) -> Section:
        from zoo.explore.report import Section

        return Section(name, TITLES[name], f"Left out: {reason}")

    def run(self) -> Path:
        """The folder of the training."""
        from zoo.explore.evaluations import run_folder

        run = run_folder(self.model.file)
        if run is None:
            raise ZooError(f"{self.model.file} does not lie in checkpoints/ of a run's folder.")
        return run

    def samples(self) -> tuple[Tensor, Tensor | None]:
        """Generated images, uint8, and their labels."""
        from zoo.images import to_uint8

        if self._samples is None:
            task = self.task
            z, y = self.model.draw(task.n, None, task.seed, task.truncation)
            self._samples = (to_uint8(self.model.generate(z, y)), y)
        return self._samples

    def real(self) -> tuple[Tensor, Tensor]:
        """Training images drawn by the seed, uint8, and their labels."""
        from zoo.images import to_uint8
        from zoo.metrics.distances import random_rows

        if self._real is None:
            try:
                data = self.model.dataset(self.task.data_dir, self.task.dataset)
                images, labels = data.split("train")
                if images.shape[1:] != self.samples()[0].shape[1:]:
                    raise ZooError(
                        f"{data.name} has images of {_size(images)}, the generator makes "
                        f"{_size(self.samples()[0])}: choose a data set of its channels."
                    )
                # Not the first ones: folders of pictures are sorted by class.
                rows = random_rows(self.task.n_real, len(images), self.task.seed)
                chosen = images[rows]
                self._real = (
                    to_uint8(chosen) if chosen.is_floating_point() else chosen,
                    labels[rows],
                )
            except ZooError as error:
                self._real = error
        if isinstance(self._real, ZooError):
            raise self._real
        return self._real

    def vectors(self) -> tuple[Tensor, Tensor, str]:
        """Features of the generated and of the real images, and what they are."""
        if self._vectors is None:
            fake, real = self.samples()[0], self.real()[0]
            wanted = self.task.features
            network = None
            if wanted != "pixels":
                from zoo.metrics.evaluate import default_features
                from zoo.metrics.features import create_features, extract

                try:
                    data = self.task.dataset or str(self.model.data.get("name"))
                    name = wanted or default_features(data)
                    network = create_features(name).to(self.model.device)
                except ZooError:
                    if wanted is not None:
                        raise
            if network is None:
                flat = [images.flatten(1).float() / 255 for images in (fake, real)]
                self._vectors = (flat[0], flat[1], "pixels")
            else:
                both = [extract(network, images)[0] for images in (fake, real)]
                self._vectors = (both[0], both[1], f"features {network.name}")
        return self._vectors

    def interpolation(self) -> Section:
        from zoo.explore.latents import interpolation_grid
        from zoo.images import write_png

        picture = interpolation_grid(
            self.model, seed=self.task.seed, truncation=self.task.truncation
        )
        write_png(picture, self.out / "interpolation.png")
        return self.section(
            "interpolation",
            "Every row goes from one latent to another along the sphere. Smooth changes through "
            "plausible images speak for a network that learned the data rather than single images.",
        )

    def classes(self) -> Section:
        from zoo.explore.latents import class_grid
        from zoo.images import write_png

        picture = class_grid(self.model, seed=self.task.seed, truncation=self.task.truncation)
        write_png(picture, self.out / "classes.png")
        return self.section(
            "classes",
            "Every row keeps its latent and goes from one class to the next through mixed labels.",
        )

    def sefa(self) -> Section:
        from zoo.explore.latents import sefa_grid
        from zoo.images import write_png

        picture = sefa_grid(self.model, self.task.directions, seed=self.task.seed)
        write_png(picture, self.out / "sefa.png")
        return self.section(
            "sefa",
            "One latent moved along the directions to which the first layer reacts most "
            "(closed-form factorization, Shen and Zhou, 2021), in units of a standard deviation.",
        )

    def neighbours(self) -> Section:
        from zoo.explore.reality import neighbour_grid
        from zoo.images import write_png

        fake, real = self.samples()[0][:10], self.real()[0]
        made, given, what = self.vectors()
        picture, distances = neighbour_grid(fake, real, made[:10], given, self.task.neighbours)
        write_png(picture, self.out / "neighbours.png")
        return self.section(
            "neighbours",
            f"Generated images (first column) and the nearest of {len(real):,} training images by "
            f"{what}; the nearest ones are {distances[:, 0].mean():.3g} away on average. A network "
            "that copies shows the same image twice.",
        )

    def tsne(self) -> Section:
        import torch

        from zoo.explore.plots import plot_points
        from zoo.explore.reality import tsne

        made, given, what = self.vectors()
        given = given[: len(made)]
        points = tsne(torch.cat([given, made]), self.task.seed)
        plot_points(points, len(given), self.out / "tsne.png")
        return self.section(
            "tsne",
            f"t-SNE of {len(given):,} real and {len(made):,} generated images by {what}. Regions "
            "with real points alone are modes that the generator leaves out.",
            diagram=True,
        )

    def spectrum(self) -> Section:
        from zoo.explore.plots import plot_spectra
        from zoo.explore.reality import spectrum

        fake, real = spectrum(self.samples()[0]), spectrum(self.real()[0])
        plot_spectra(real, fake, self.out / "spectrum.png")
        ratio = (fake[1] / real[1].clamp_min(1e-12))[-1].item()
        return self.section(
            "spectrum",
            "Power over spatial frequency, averaged over directions. At the highest frequency the "
            f"generated images have {ratio:.3g} times the power of the real ones.",
            diagram=True,
        )

    def scores(self) -> Section:
        from zoo.explore.plots import plot_scores
        from zoo.explore.reality import discriminator_scores

        fake, labels = self.samples()
        real, real_labels = self.real()
        if self.model.num_classes and real_labels.max() >= self.model.num_classes:
            raise ZooError(
                f"{self.model.file} knows {self.model.num_classes} classes, the data set has more."
            )
        n = len(fake)
        scores = discriminator_scores(self.model, real[:n], real_labels[:n], fake, labels)
        plot_scores(*scores, self.out / "scores.png")
        # The probability that D ranks a real image above a generated one.
        ranked = (scores[0][:, None] > scores[1][None, :]).float().mean().item()
        return self.section(
            "scores",
            "Scores of D, which sees real and generated images in batches of their own as in "
            f"training: on average {scores[0].mean():.3g} for real and {scores[1].mean():.3g} "
            f"for generated images; a real image scores above a generated one in {ranked:.0%} of "
            "pairs (50 % means that D cannot tell them apart).",
            diagram=True,
        )

    def curves(self) -> Section:
        from zoo.compare import read_metrics
        from zoo.explore.plots import plot_curves

        run = self.run()
        curves = read_metrics(run, over="images_seen")
        if not curves:
            raise ZooError(f"there is no metrics.csv of the run below {run}.")
        plot_curves(curves, self.out / "curves.png")
        return self.section("curves", f"From metrics.csv of {run}.", True)

    def diagnostics(self) -> Section:
        from zoo.explore.evaluations import read_findings
        from zoo.explore.report import Section

        run = self.run()
        file = run / "diagnostics.json"
        if not file.exists():
            if not any(run.glob("**/metrics.csv")):
                raise ZooError(f"{run} is no folder of a training run.")
            return Section("diagnostics", TITLES["diagnostics"], "It found nothing to complain of.")
        text = "Findings of the diagnostics while it trained, each kind at most once per epoch."
        return Section("diagnostics", TITLES["diagnostics"], text, lines=read_findings(file))


def _size(images: Tensor) -> str:
    return "×".join(map(str, images.shape[1:]))


def _facts(model: LoadedGenerator) -> dict[str, Any]:
    from zoo.describe import in_words

    info = model.info
    facts = {"file": str(model.file), "generator": in_words(info["generator"])}
    for kind in ("discriminator", "loss"):
        if info.get(kind):
            facts[kind] = in_words(info[kind])
    if info.get("regularizers"):
        facts["regularizers"] = listing(map(in_words, info["regularizers"]))
    size, channels = model.generator.image_size, model.generator.channels
    facts["data"] = f"{model.data.get('name')}, {channels}×{size}×{size}"
    facts["classes"] = listing(model.class_names) if model.num_classes else "none used"
    facts["images seen"] = f"{model.images_seen:,}"
    facts["weights"] = f"{model.weights}, batch norm {model.batch_norm}"
    return facts
