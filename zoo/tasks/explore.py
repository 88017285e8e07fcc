"""`task=explore`: show what a generator has learned, in images and a report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from zoo.contracts.task import Run, Task
from zoo.core import cache
from zoo.core.errors import DoesNotApplyError, ZooError, at_least, listing, suggest
from zoo.explore.sections import TITLES, Makers, Options
from zoo.registry import list_parts, task

if TYPE_CHECKING:
    from zoo.explore.report import Section
    from zoo.inference.load import LoadedGenerator
    from zoo.metrics.protocol import Result

SECTIONS = tuple(TITLES)


@task("explore")
class Explore(Task):
    """Write a report with interpolations, SeFa directions, neighbours, t-SNE, spectra and scores.

    A section that is not possible, for lack of a data set, classes or a discriminator, is left out,
    and the report says why. The section `codes` is only for models that have codes.

    Args:
        ckpt: a checkpoint, a run's folder, an exported file (`.pt2`; only from a source that you
            trust, because it can run code), a name, or `hf:owner/name`.
        sections: some of `interpolation`, `classes`, `sefa`, `pca`, `codes`, `neighbours`, `tsne`,
            `spectrum`, `scores`, `curves`, `diagnostics`; null for all.
        dataset: the data set of the real images by name, or a folder of images; null uses the one
            that the model was trained on.
        n: the number of generated images that are compared with real ones.
        n_real: the number of real (training) images that they are compared with.
        directions: the number of SeFa directions, and of principal components.
        neighbours: the number of nearest real images shown for each generated one.
        features: how neighbours and t-SNE compare images: a feature network of `task=evaluate`, or
            `pixels`; null uses the network for the data set, or pixels if it is missing.
        truncation: the threshold for normal latents, or the factor of styles, as in `task=sample`.
        evaluation: a result of `task=evaluate` (JSON) for the report; null uses those in the run's
            folder.
        seed: the seed of everything random.
        weights: `ema` or `raw`; null uses the EMA weights if the file has any.
        data_dir: the folder of data sets; null uses the environment variable ZOO_DATA_DIR, or else
            `data`.
        device: `auto`, `cpu`, `cuda`, `mps`.
    """

    instead = {  # noqa: RUF012
        "datamodule": "dataset=NAME or dataset=FOLDER names the real images",
    }

    def __init__(
        self,
        ckpt: str | None = None,
        sections: list[str] | None = None,
        dataset: str | None = None,
        n: Annotated[int, at_least(1)] = 500,
        n_real: Annotated[int, at_least(1)] = 5000,
        directions: Annotated[int, at_least(1)] = 6,
        neighbours: Annotated[int, at_least(1)] = 7,
        features: str | None = None,
        truncation: Annotated[float, at_least(0)] | None = None,
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
        self.data_dir = data_dir or cache.data_dir()
        self.device = device

    def run(self, run: Run) -> dict[str, Any]:
        """Write the images and `report.html` into the run's folder.

        Raises:
            ZooError: there is no such checkpoint or result, a section is unknown, or an option is
                out of range.
        """
        from zoo.explore.report import write_report
        from zoo.inference.load import load
        from zoo.metrics.results import find_results

        if self.ckpt is None:
            raise ZooError("task=explore needs ckpt=…: a checkpoint, a run's folder, or a name.")
        chosen = self._chosen()
        self._check_features()
        model = load(self.ckpt, weights=self.weights, device=self.device)
        results = find_results(model, self.evaluation)
        out = run.folder
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ZooError(f"cannot write into {out}: {error.strerror}.") from error
        makers = Makers(self._options(), model, out)
        if self.dataset is not None:
            makers.real()  # raise an error now if a data set was requested and is missing
        sections, left_out = [], []
        for name in chosen:
            make: Callable[[], Section] = getattr(makers, name)
            try:
                sections.append(make())
            except ZooError as error:
                if isinstance(error, DoesNotApplyError) and self.sections is None:
                    continue
                left_out.append(f"{name} ({str(error).removesuffix('.')})")
                sections.append(makers.missing(name, str(error)))
        path = write_report(
            out / "report.html",
            makers.title,
            _facts(model),
            sections,
            [{"figures": _headed(r), "protocol": r.protocol.in_words()} for r in results],
        )
        summary: dict[str, Any] = {"model": repr(model), "images": out, "report": path}
        if left_out:
            summary["left out"] = "; ".join(left_out)
        return summary

    def _options(self) -> Options:
        return Options(
            dataset=self.dataset,
            n=self.n,
            n_real=self.n_real,
            directions=self.directions,
            neighbours=self.neighbours,
            features=self.features,
            truncation=self.truncation,
            seed=self.seed,
            data_dir=self.data_dir,
        )

    def _check_features(self) -> None:
        """Refuse a name that is neither a feature network nor `pixels`."""
        name, choices = self.features, ["pixels", *list_parts("features")]
        if name is None or name in choices or name.startswith("timm/"):
            return
        raise ZooError(
            f"features={name} is not a feature network.{suggest(name, choices)} "
            f"Choices: {listing(choices)}."
        )

    def _chosen(self) -> list[str]:
        """Return the names of the sections to write, in their order in the report."""
        for name in self.sections or ():
            if name not in SECTIONS:
                raise ZooError(
                    f"sections: there is no {name!r}.{suggest(name, SECTIONS)} "
                    f"Choices: {listing(SECTIONS)}."
                )
        return [name for name in SECTIONS if self.sections is None or name in self.sections]


def _headed(result: Result) -> dict[str, float]:
    """Return the metrics of an evaluation, named with the direction in which they improve."""
    from zoo.metrics.protocol import heading

    return {heading(n, set(result.higher_is_better)): v for n, v in result.figures.items()}


def _facts(model: LoadedGenerator) -> dict[str, Any]:
    """Return what the head of the report says about the model."""
    from zoo.inference.locate import public_name
    from zoo.registry.spec import in_words

    info = model.info
    facts = {"file": public_name(model.file), "generator": in_words(info["generator"])}
    for kind in ("discriminator", "loss"):
        if info.get(kind):
            facts[kind] = in_words(info[kind])
    if info.get("regularizers"):
        facts["regularizers"] = listing(map(in_words, info["regularizers"]))
    g = model.generator
    facts["data"] = f"{model.data.get('name')}, {g.channels}×{g.height}×{g.width}"
    facts["classes"] = listing(model.class_names) if model.num_classes else "none used"
    facts["images seen"] = f"{model.images_seen:,}"
    facts["weights"] = f"{model.weights}, batch norm {model.batch_norm}"
    if info.get("tags"):
        facts["tags"] = listing(info["tags"])
    return facts
