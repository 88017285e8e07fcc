"""Score a generator: sample, make uint8, extract features, compute the metrics, keep the protocol.

reference = reference_of(datamodule, "train")
result = evaluate(LatentSampler(generator, seed=0), reference, conditional=True, n=10_000)
print(result.table())
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from zoo.contracts.generator import Generator
from zoo.core.errors import TooFewError, ZooError, at_least
from zoo.core.random import forked_random, seeded
from zoo.core.version import __version__
from zoo.data.pixels import to_uint8
from zoo.inference.truncation import check_truncation, images_of
from zoo.metrics.choice import Choice, check_metrics, create_metric, default_metrics
from zoo.metrics.comparison import Comparison, Reference
from zoo.metrics.features.base import Features, create_features, extract
from zoo.metrics.protocol import Protocol, Result
from zoo.metrics.scores.base import Metric
from zoo.registry import REGISTRY, list_parts

if TYPE_CHECKING:
    from zoo.data.base import DataModule

LATENT_BLOCK = 1000

Sampler = Callable[[int, Tensor | None], Tensor]
"""From a number of images and their labels (n,), or None, to images (n, C, S, S) in [-1, 1]."""


class Pictures(NamedTuple):
    """Generated images that are there already, in place of a sampler.

    Attributes:
        images: (N, C, S, S) as those of the reference are kept: uint8 or float.
        labels: int64 (N,), numbered as those of the reference, or None.
        preparation: how they came to their size, in words.
    """

    images: Tensor
    labels: Tensor | None
    preparation: str


def reference_of(
    datamodule: DataModule, split: Literal["train", "val", "test"] = "train"
) -> Reference:
    """The images of one split; classifiers are tested on the test split.

    Raises:
        ZooError: the split is empty.
    """
    images, labels = datamodule.split(split)
    if len(images) == 0:
        raise ZooError(f"datamodule {datamodule.name} has no images in its split {split!r}.")
    test_images, test_labels = datamodule.split("test")
    classes = datamodule.num_classes
    tested = classes > 0 and len(test_images) > 0
    return Reference(
        str(datamodule.name),
        split,
        images,
        labels if classes else None,
        classes,
        test_images if len(test_images) else None,
        test_labels if tested else None,
        None if split == "train" else datamodule.split("train")[0],
        tuple(map(str, datamodule.class_names)),
        datamodule.features,
        datamodule.samples,
    )


def features_of(dataset: str) -> str | None:
    """The feature network that knows the images of a data set; None where there is none."""
    if dataset not in list_parts("datamodule"):
        return None
    return getattr(REGISTRY.get("datamodule", dataset).load(), "features", None)


def default_features(data: Reference | str) -> str:
    """The feature network for images: one that knows them, else the first of the general ones.

    Args:
        data: the images, or the name of their data set.

    Raises:
        ZooError: there is neither.
    """
    name = data if isinstance(data, str) else data.dataset
    own = (None if isinstance(data, str) else data.features) or features_of(name)
    if own is not None:
        return own
    general = REGISTRY.having("features", lambda f: f.general is not None and f.is_available())
    if not general:
        raise ZooError("no general feature network is available: give features=NAME")
    return min(general, key=lambda part: part.load().general).name


class LatentSampler:
    """A sampler whose latents depend on the seed, and not on how many are asked for at a time.

    Args:
        seed: of the latents.
        truncation: as of `images_of`.
        refine: gives other latents in place of those drawn, for their labels.

    Attributes:
        has_codes: whether the latents have a categorical code.
    """

    def __init__(
        self,
        generator: Generator,
        seed: int = 0,
        truncation: float | None = None,
        refine: Callable[[Tensor, Tensor | None], Tensor] | None = None,
    ) -> None:
        check_truncation(generator, truncation)
        self.generator = generator
        self.truncation = truncation
        self.refine = refine
        latent = getattr(generator, "latent", None)  # which an exported file has not
        codes = () if latent is None else latent.codes
        self._codes = [code for code in codes if code.categorical]
        self.has_codes = bool(self._codes)
        self._random = seeded(seed)
        self._drawn: list[Tensor] = []
        self._values: list[Tensor] = []

    def __call__(self, n: int, labels: Tensor | None) -> Tensor:
        weight = next(self.generator.parameters())
        while sum(map(len, self._drawn)) < n:
            self._drawn.append(self.generator.sample_latent(LATENT_BLOCK, self._random))
        z, rest = torch.cat(self._drawn).tensor_split([n])
        self._drawn = [rest]
        if self.refine is not None:
            with torch.inference_mode(False):
                z = self.refine(z.cpu().clone(), labels)
        values = [z[:, c.start : c.start + c.size].argmax(dim=1) for c in self._codes]
        if values:
            self._values.append(torch.stack(values, dim=1).cpu())
        y = None if labels is None else labels.to(weight.device)
        return images_of(self.generator, z.to(weight), y, self.truncation)

    def codes(self) -> Tensor | None:
        """The values (N, K) of the K categorical codes of all images so far."""
        return torch.cat(self._values) if self._values else None


def evaluate(
    sample: Sampler | Pictures,
    reference: Reference,
    *,
    conditional: bool,
    num_classes: int = 0,
    metrics: Sequence[Choice | Metric] | None = None,
    features: str | Features | None = None,
    n: int = 10_000,
    batch_size: int = 500,
    seed: int = 0,
    weights: str = "raw",
    batch_norm: str = "running",
    truncation: float | None = None,
    precision: str = "fp32",
    refine: str = "none",
    model: str = "model",
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Result:
    """Compare `n` generated images with a reference set.

    Args:
        sample: gives the images; its latents are its own business, other randomness inside it is
            fixed by `seed`, and the caller's stream of random numbers is left as it was. Or the
            images themselves, all of which are taken.
        reference: real images, uint8.
        conditional: the generator gets labels, drawn at random from those of the reference.
        num_classes: of the generator; all get as many images where the reference has no labels.
        metrics: names (`zoo.list_parts("metric")`), each alone or with options, as
            `{"name": "kid", "subsets": 50}`; None takes those that make sense here.
        features: a feature network or its name; None takes `default_features`.
        n: generated images.
        batch_size: images sampled and looked at together.
        weights, batch_norm, truncation, precision, refine: what the protocol says of the generator.
        model: what tables call it.
        device: of the feature network and of classifiers.
        progress: show progress bars.

    Raises:
        ZooError: an unknown metric or feature network, one that does not go with the data, images
            of another size than the reference or another number than asked for, or images that are
            not finite.
    """
    start = time.perf_counter()
    chosen = [create_metric(choice) for choice in metrics or []]
    pictures = sample if isinstance(sample, Pictures) else None
    n = len(pictures.images) if pictures is not None else n
    if n < 2:
        raise ZooError(f"n={n} must be 2 or more images to compare.")
    at_least(1, batch_size=batch_size)
    if conditional and reference.labels is None and not num_classes:
        raise ZooError(
            f"the generator needs labels, and {reference.name} has none: "
            "evaluate it on the data set it was trained on."
        )
    with forked_random():
        torch.manual_seed(seed)
        if isinstance(features, Features):
            network = features
        else:
            network = create_features(features or default_features(reference))
        network = network.to(device)
        chosen = chosen or [
            create_metric(name) for name in default_metrics(network, reference, conditional)
        ]
        latents = sample if isinstance(sample, LatentSampler) else None
        has_codes = latents is not None and latents.has_codes
        check_metrics(chosen, network, reference, conditional, has_codes)
        if isinstance(sample, Pictures):
            images, labels = sample.images, sample.labels
            _check_shape(images, reference, "the pictures are")
        else:
            labels = _draw_labels(reference, n, seed, num_classes) if conditional else None
            images = _generate(sample, labels, n, batch_size, reference, progress)
        vectors, logits = extract(network, images, batch_size, "features" if progress else None)
        comparison = Comparison(
            images=images,
            labels=labels,
            codes=None if latents is None else latents.codes(),
            vectors=vectors,
            logits=logits,
            reference=reference,
            network=network,
            batch_size=batch_size,
            progress=progress,
            seed=seed,
            device=torch.device(device),
        )
        figures = _measure(chosen, comparison)
    protocol = Protocol(
        reference=reference.name,
        reference_hash=reference.hash,
        reference_count=len(reference.images),
        generated_count=n,
        features=network.name,
        weights_hash=network.weights_hash,
        resizer=network.resizer,
        weights=weights,
        batch_norm=batch_norm,
        labels=_labels_in_words(conditional, pictures is not None, reference),
        truncation="none" if truncation is None else str(truncation),
        settings={metric.name: metric.recorded() for metric in chosen},
        seed=seed,
        zoo_version=__version__,
        precision=precision,
        pictures="" if pictures is None else pictures.preparation,
        refine=refine,
    )
    return Result(
        model=model,
        protocol=protocol,
        figures=figures,
        per_class=comparison.per_class,
        pairs=comparison.pairs,
        pictures=_pictures(comparison),
        galleries=comparison.galleries,
        seconds=round(time.perf_counter() - start, 1),
        notes=comparison.notes,
        higher_is_better=sorted({name for metric in chosen for name in metric.higher_is_better}),
    )


def _measure(metrics: Sequence[Metric], comparison: Comparison) -> dict[str, float]:
    """The figures of all metrics; one of too few images is left out, with a note.

    Raises:
        ZooError: all of them are.
    """
    figures: dict[str, float] = {}
    with tqdm(metrics, desc="metrics", disable=not comparison.progress, leave=False) as bar:
        for metric in bar:
            bar.set_postfix_str(metric.name)
            try:
                figures |= metric(comparison)
            except TooFewError as error:
                comparison.notes.append(f"{metric.name} is left out: {error}")
    if not figures:
        raise ZooError(" ".join(comparison.notes))
    return figures


def _pictures(comparison: Comparison) -> Tensor | None:
    """The images of `pairs`."""
    if not comparison.pairs:
        return None
    real = comparison.reference.trained_on
    assert real is not None
    return torch.stack(
        [torch.stack([comparison.images[g], real[r]]) for g, r, _ in comparison.pairs]
    )


def _draw_labels(reference: Reference, n: int, seed: int, num_classes: int) -> Tensor:
    """Labels as frequent as in the reference, or all equally where it has none.

    They are the labels of the reference themselves where n is its size.
    """
    known = reference.labels
    labels = torch.arange(num_classes) if known is None else known
    rounds = -(-n // len(labels))
    random = seeded(seed)
    orders = [torch.randperm(len(labels), generator=random) for _ in range(rounds)]
    return labels[torch.cat(orders)[:n]]


def _labels_in_words(conditional: bool, are_pictures: bool, reference: Reference) -> str:
    if not conditional:
        return "none"
    if are_pictures:
        return "own"
    return "evenly over its classes" if reference.labels is None else "as in the reference"


def _check_shape(images: Tensor, reference: Reference, they_are: str) -> None:
    if images.shape[1:] != reference.images.shape[1:]:
        shapes = ["x".join(map(str, s[1:])) for s in (images.shape, reference.images.shape)]
        raise ZooError(
            f"{they_are} {shapes[0]} and {reference.name} has {shapes[1]}: evaluate them on data "
            "of their own size and channels."
        )


@torch.inference_mode()
def _generate(
    sample: Sampler,
    labels: Tensor | None,
    n: int,
    batch_size: int,
    reference: Reference,
    progress: bool,
) -> Tensor:
    """`n` generated images on the CPU, as those of the reference are kept: uint8 or float."""
    parts = []
    bar = tqdm(total=n, desc="sampling", unit="img", disable=not progress, leave=False)
    with bar:
        for first in range(0, n, batch_size):
            count = min(batch_size, n - first)
            given = None if labels is None else labels[first : first + count]
            images = sample(count, given)
            if len(images) != count:  # of which the protocol would count others
                raise ZooError(
                    f"the sampler gives {len(images)} images where {count} are asked for."
                )
            _check_shape(images, reference, "the generator gives images of")
            if not torch.isfinite(images).all():
                raise ZooError("the generator gives NaN or infinite pixels: its training diverged.")
            stored = reference.images.dtype == torch.uint8  # points are kept as they are
            parts.append((to_uint8(images) if stored else images.float().clamp(-1, 1)).cpu())
            bar.update(count)
    return torch.cat(parts)
