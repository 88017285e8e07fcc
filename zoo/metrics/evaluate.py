"""Evaluating a generator: generate images, extract features, compute metrics, record the protocol.

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
"""The number of latents that `LatentSampler` draws at a time, whatever the batch size."""

Sampler = Callable[[int, Tensor | None], Tensor]
"""A function from a number n of images and their labels (n,), or None, to images (n, C, H, W) in
[-1, 1]."""


class Pictures(NamedTuple):
    """Images that were generated before, to evaluate instead of a sampler.

    Attributes:
        images: (N, C, H, W) in the format of the reference images, uint8 or float.
        labels: int64 (N,), numbered as those of the reference, or None.
        preparation: a description of how they were brought to their size.
    """

    images: Tensor
    labels: Tensor | None
    preparation: str


def reference_of(
    datamodule: DataModule, split: Literal["train", "val", "test"] = "train"
) -> Reference:
    """Return a reference with the images of one split, and those of the train and test splits.

    Raises:
        ZooError: the split is empty.
    """
    images, labels = datamodule.split(split)
    if len(images) == 0:
        raise ZooError(f"datamodule {datamodule.name} has no images in its split {split!r}.")
    test_images, test_labels = datamodule.split("test")
    classes = datamodule.num_classes
    has_test_labels = classes > 0 and len(test_images) > 0
    return Reference(
        str(datamodule.name),
        split,
        images,
        labels if classes else None,
        classes,
        test_images if len(test_images) else None,
        test_labels if has_test_labels else None,
        None if split == "train" else datamodule.split("train")[0],
        tuple(map(str, datamodule.class_names)),
        datamodule.features,
        datamodule.samples,
    )


def features_of(dataset: str) -> str | None:
    """Return the feature network trained on a data set, or None if there is none."""
    if dataset not in list_parts("datamodule"):
        return None
    return getattr(REGISTRY.get("datamodule", dataset).load(), "features", None)


def default_features(data: Reference | str) -> str:
    """Return the feature network for a data set: one trained on it, else a general one.

    Args:
        data: the reference images, or the name of their data set.

    Raises:
        ZooError: there is neither.
    """
    name = data if isinstance(data, str) else data.dataset
    own = (None if isinstance(data, str) else data.features) or features_of(name)
    if own is not None:
        return own
    general = REGISTRY.having("features", lambda f: f.general is not None and f.is_available())
    if not general:
        raise ZooError("no general feature network is available: choose one with features=NAME")
    return min(general, key=lambda part: part.load().general).name


class LatentSampler:
    """A sampler whose latents depend on the seed but not on the batch size.

    Args:
        generator: the generator.
        seed: the seed of the latents.
        truncation: see `images_of`.
        refine: a function from latents and their labels to improved latents; None for none.

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
        latent = getattr(generator, "latent", None)  # exported generators lack it
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
        """Return the values (N, K) of the K categorical codes of all images generated so far."""
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
        sample: a function that generates images. It draws its own latents; other random numbers
            in it are determined by `seed`, and the caller's random state is restored afterwards.
            Or images generated before, all of which are used.
        reference: the real images.
        conditional: whether the generator takes labels, which are drawn at random from those of
            the reference.
        num_classes: the number of classes of the generator, which are generated equally often if
            the reference has no labels.
        metrics: the metrics (`zoo.list_parts("metric")`), each as a name or with options, such as
            `{"name": "kid", "subsets": 50}`; None takes those that suit the data.
        features: a feature network or its name; None takes `default_features`.
        n: the number of images to generate.
        batch_size: the number of images that are generated and processed at a time.
        seed: the seed of the labels, of random subsets, and of random numbers in `sample`.
        weights, batch_norm, truncation, precision, refine: descriptions of the generator for the
            protocol.
        model: the name of the model in tables.
        device: the device of the feature network and of classifiers.
        progress: whether to show progress bars.

    Raises:
        ZooError: a metric or the feature network is unknown or does not suit the data, or the
            images are not finite or have the wrong size or number.
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
            f"the generator needs labels, but {reference.name} has none: evaluate it on the data "
            "set that it was trained on."
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
            _check_shape(images, reference, "the pictures have the shape")
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
    """Compute all metrics, leaving out those that need more images, with a note.

    Raises:
        ZooError: all of them are left out.
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
    """Return the generated and real images (P, 2, C, H, W) of `comparison.pairs`, if any."""
    if not comparison.pairs:
        return None
    real = comparison.reference.trained_on
    assert real is not None
    return torch.stack(
        [torch.stack([comparison.images[g], real[r]]) for g, r, _ in comparison.pairs]
    )


def _draw_labels(reference: Reference, n: int, seed: int, num_classes: int) -> Tensor:
    """Draw `n` labels with the frequencies of the reference, or equal ones if it has no labels.

    If n is the size of the reference, they are a permutation of its labels.
    """
    labels = torch.arange(num_classes) if reference.labels is None else reference.labels
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


def _check_shape(images: Tensor, reference: Reference, subject: str) -> None:
    """Refuse images of another shape than the reference; `subject` begins the message."""
    if images.shape[1:] != reference.images.shape[1:]:
        shapes = ["x".join(map(str, s[1:])) for s in (images.shape, reference.images.shape)]
        raise ZooError(
            f"{subject} {shapes[0]}, but {reference.name} has {shapes[1]}: evaluate them on data "
            "of the same size and channels."
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
    """Generate `n` images on the CPU in the format of the reference images, uint8 or float."""
    parts = []
    bar = tqdm(total=n, desc="sampling", unit="img", disable=not progress, leave=False)
    with bar:
        for first in range(0, n, batch_size):
            count = min(batch_size, n - first)
            part_labels = None if labels is None else labels[first : first + count]
            images = sample(count, part_labels)
            if len(images) != count:  # else the protocol would record a wrong number
                raise ZooError(f"the sampler returned {len(images)} images instead of {count}.")
            _check_shape(images, reference, "the generator's images have the shape")
            if not torch.isfinite(images).all():
                raise ZooError(
                    "the generator returned NaN or infinite pixels: its training diverged."
                )
            is_uint8 = reference.images.dtype == torch.uint8  # points in the plane stay floats
            parts.append((to_uint8(images) if is_uint8 else images.float().clamp(-1, 1)).cpu())
            bar.update(count)
    return torch.cat(parts)
