"""The sections of the report of `task=explore`, one method each; importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.core.errors import ZooError, shown

if TYPE_CHECKING:
    from torch import Tensor

    from zoo.explore.report import Section
    from zoo.inference.load import LoadedGenerator

TITLES = {
    "interpolation": "Between latents",
    "classes": "Between classes",
    "sefa": "SeFa directions",
    "pca": "Principal directions",
    "codes": "What the codes do",
    "neighbours": "Nearest training images",
    "tsne": "Map of features",
    "spectrum": "Frequency spectrum",
    "scores": "What the discriminator sees",
    "curves": "Training curves",
    "diagnostics": "Diagnostics of the training",
}


@dataclass(frozen=True)
class Options:
    """The options of `task=explore` that sections use; see there for their meaning."""

    dataset: str | None
    n: int
    n_real: int
    directions: int
    neighbours: int
    features: str | None
    truncation: float | None
    seed: int
    data_dir: str


class Makers:
    """Methods that create the sections; data that several of them need are computed once."""

    def __init__(self, options: Options, model: LoadedGenerator, out: Path) -> None:
        self.options = options
        self.model = model
        self.out = out
        self._samples: tuple[Tensor, Tensor | None] | None = None
        self._real: tuple[Tensor, Tensor] | ZooError | None = None
        self._vectors: tuple[Tensor, Tensor, str] | None = None

    @property
    def title(self) -> str:
        """The name of the model in the report and in the titles of plots."""
        return f"{self.model.info['generator']['name']} on {self.model.data.get('name')}"

    def section(self, name: str, text: str, diagram: bool = False) -> Section:
        """Return a section with the picture of its name."""
        from zoo.explore.report import Section

        return Section(name, TITLES[name], text, self.out / f"{name}.png", diagram)

    def missing(self, name: str, reason: str) -> Section:
        """Return a section that gives the reason why it has no content."""
        from zoo.explore.report import Section
        from zoo.inference.locate import without_folders

        return Section(name, TITLES[name], f"Left out: {without_folders(reason, self.model.file)}")

    def run(self) -> Path:
        """Return the folder of the training run."""
        from zoo.metrics.results import run_folder

        run = run_folder(self.model.file)
        if run is None:
            file = shown(self.model.file)
            raise ZooError(f"{file} is not in the folder checkpoints/ of a run.")
        return run

    def samples(self) -> tuple[Tensor, Tensor | None]:
        """Return generated images in the format of data sets, and their labels."""
        from zoo.data.pixels import stored

        if self._samples is None:
            options = self.options
            z, y = self.model.draw(options.n, None, options.seed)
            images = self.model.generate(z, y, truncation=options.truncation)
            self._samples = (stored(images), y)
        return self._samples

    def real(self) -> tuple[Tensor, Tensor]:
        """Return random training images in the format of data sets, and their labels."""
        from zoo.data.pixels import stored
        from zoo.metrics.distances import random_rows

        if self._real is None:
            try:
                data = self.model.dataset(self.options.data_dir, self.options.dataset)
                images, labels = data.split("train")
                if images.shape[1:] != self.samples()[0].shape[1:]:
                    raise ZooError(
                        f"{data.name} has images of {_size(images)}, but the generator makes "
                        f"{_size(self.samples()[0])}: choose a data set with the same channels."
                    )
                # Drawn at random, since folders of pictures are sorted by class.
                rows = random_rows(self.options.n_real, len(images), self.options.seed)
                chosen = images[rows]
                self._real = (
                    stored(chosen) if chosen.is_floating_point() else chosen,
                    labels[rows],
                )
            except ZooError as error:
                self._real = error
        if isinstance(self._real, ZooError):
            raise self._real
        return self._real

    def vectors(self) -> tuple[Tensor, Tensor, str]:
        """Return the features of the generated and of the real images, and their name."""
        if self._vectors is None:
            fake, real = self.samples()[0], self.real()[0]
            features = self.options.features
            network = None
            if features != "pixels":
                from zoo.metrics.evaluate import default_features
                from zoo.metrics.features.base import create_features, extract

                try:
                    data = self.options.dataset or str(self.model.data.get("name"))
                    name = features or default_features(data)
                    network = create_features(name).to(self.model.device)
                except ZooError:
                    if features is not None:
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
        from zoo.inference.images import write_png

        picture = interpolation_grid(
            self.model, seed=self.options.seed, truncation=self.options.truncation
        )
        write_png(picture, self.out / "interpolation.png")
        return self.section(
            "interpolation",
            "Every row goes from one latent to another along the sphere. Smooth changes through "
            "plausible images suggest that the network learned the data rather than single images.",
        )

    def classes(self) -> Section:
        from zoo.explore.latents import class_grid
        from zoo.inference.images import write_png

        picture = class_grid(self.model, seed=self.options.seed, truncation=self.options.truncation)
        write_png(picture, self.out / "classes.png")
        return self.section(
            "classes",
            "Every row keeps its latent and goes from one class to the next through mixed labels.",
        )

    def sefa(self) -> Section:
        from zoo.explore.latents import sefa_grid
        from zoo.inference.images import write_png

        picture = sefa_grid(self.model, self.options.directions, seed=self.options.seed)
        write_png(picture, self.out / "sefa.png")
        return self.section(
            "sefa",
            "One latent moved along the directions to which the first layer reacts most "
            "(closed-form factorization, Shen and Zhou, 2021), in units of a standard deviation.",
        )

    def pca(self) -> Section:
        from zoo.explore.principal import principal_grid
        from zoo.inference.images import write_png

        picture = principal_grid(self.model, self.options.directions, seed=self.options.seed)
        write_png(picture, self.out / "pca.png")
        return self.section(
            "pca",
            "One latent moved along the directions in which styles, or the first layer's "
            "activations, vary most (GANSpace, Härkönen et al., 2020), in units of their standard "
            "deviations.",
        )

    def codes(self) -> Section:
        from zoo.explore.codes import codes_grid
        from zoo.inference.images import write_png

        write_png(codes_grid(self.model, seed=self.options.seed), self.out / "codes.png")
        return self.section(
            "codes",
            "Every row keeps the noise of a latent and varies its code from column to column: all "
            "values of a categorical code, or values from -2 to 2 of a continuous one (InfoGAN, "
            "Chen et al., 2016).",
        )

    def neighbours(self) -> Section:
        from zoo.explore.reality import neighbour_grid
        from zoo.inference.dataset import modes_of
        from zoo.inference.images import write_png

        fake, real = self.samples()[0][:10], self.real()[0]
        fake_vectors, real_vectors, features = self.vectors()
        k = self.options.neighbours
        picture, distances = neighbour_grid(
            fake, real, fake_vectors[:10], real_vectors, k, modes_of(self.model.data)
        )
        write_png(picture, self.out / "neighbours.png")
        return self.section(
            "neighbours",
            f"Generated images and the nearest of {len(real):,} training images by {features}; the "
            f"nearest ones are {distances[:, 0].mean():.3g} away on average. A network that copies "
            "training images shows the same image twice.",
        )

    def tsne(self) -> Section:
        import torch

        from zoo.explore.plots import plot_points
        from zoo.explore.reality import tsne
        from zoo.inference.dataset import modes_of

        fake, real, features = self.vectors()
        real = real[: len(fake)]
        path, counts = self.out / "tsne.png", f"{len(real):,} real and {len(fake):,} generated"
        if fake.shape[1] == 2:  # points in the plane need no map
            points, title = torch.cat([real, fake]), f"{self.title}: {features}"
            plot_points(points, len(real), path, title, modes_of(self.model.data))
            return self.section(
                "tsne",
                f"{counts} images by {features}, at their places in the plane. Regions with only "
                "real points are modes that the generator drops.",
                diagram=True,
            )
        points = tsne(torch.cat([real, fake]), self.options.seed)
        plot_points(points, len(real), path, f"{self.title}: t-SNE of {features}")
        return self.section(
            "tsne",
            f"t-SNE of {counts} images by {features}. Regions with only real points are modes that "
            "the generator drops.",
            diagram=True,
        )

    def spectrum(self) -> Section:
        from zoo.explore.plots import plot_spectra
        from zoo.explore.reality import spectrum

        fake, real = spectrum(self.samples()[0]), spectrum(self.real()[0])
        title = f"{self.title}: frequency spectrum"
        plot_spectra(real, fake, self.out / "spectrum.png", title)
        ratio = (fake[1] / real[1].clamp_min(1e-12))[-1].item()
        return self.section(
            "spectrum",
            "Power over spatial frequency, averaged over all directions. At the highest frequency, "
            f"the generated images have {ratio:.3g} times the power of the real ones.",
            diagram=True,
        )

    def scores(self) -> Section:
        from zoo.explore.plots import plot_scores
        from zoo.explore.reality import discriminator_scores

        fake, labels = self.samples()
        real, real_labels = self.real()
        if self.model.num_classes and real_labels.max() >= self.model.num_classes:
            raise ZooError(
                f"{self.model.file} has {self.model.num_classes} classes, but the data set has "
                "more."
            )
        n = len(fake)
        scores = discriminator_scores(self.model, real[:n], real_labels[:n], fake, labels)
        title = f"{self.title}: scores of {self.model.info['discriminator']['name']}"
        plot_scores(*scores, self.out / "scores.png", title)
        # The probability that D ranks a real image above a generated one.
        ranked = (scores[0][:, None] > scores[1][None, :]).float().mean().item()
        pack = n // len(scores[1])
        packed = f" Each score is for {pack} images, which D sees as one." if pack > 1 else ""
        return self.section(
            "scores",
            "Scores of D, which sees real and generated images in separate batches, as in "
            f"training: on average {scores[0].mean():.3g} for real and {scores[1].mean():.3g} "
            f"for generated images; a real image scores above a generated one in {ranked:.0%} of "
            f"pairs (50 % means that D cannot tell them apart).{packed}",
            diagram=True,
        )

    def curves(self) -> Section:
        from zoo.explore.compare import read_metrics
        from zoo.explore.plots import plot_curves
        from zoo.inference.locate import public_name

        run = self.run()
        curves = read_metrics(run, over="images_seen")
        if not curves:
            raise ZooError(f"there is no metrics.csv in the run's folder {run}.")
        plot_curves(curves, self.out / "curves.png", f"{self.title}: training")
        return self.section("curves", f"From metrics.csv of {public_name(run)}.", True)

    def diagnostics(self) -> Section:
        from zoo.explore.report import Section
        from zoo.metrics.results import read_findings

        run = self.run()
        file = run / "diagnostics.json"
        if not file.exists():
            return Section("diagnostics", TITLES["diagnostics"], "They found no problems.")
        text = "Problems that were detected during training, each kind at most once per epoch."
        return Section("diagnostics", TITLES["diagnostics"], text, lines=read_findings(file))


def _size(images: Tensor) -> str:
    return "×".join(map(str, images.shape[1:]))
