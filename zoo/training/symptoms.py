"""Symptoms of trouble in a training: pure functions of scores, images and gradient norms.

Each function checks for one symptom and returns a sentence on what was observed and what to try, or
None if all is well. `Diagnostics` collects these findings, at most one of each kind per epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoo.contracts.loss import Loss
from zoo.core.errors import listing
from zoo.core.sizes import ImageSize, height_width
from zoo.registry import REGISTRY
from zoo.registry.kinds import GROUPS

FLAT = 0.02
"""The slope of D's loss below which D counts as saturated."""
DIVERSITY = 0.35
"""The relative diversity of generated images below which G counts as collapsing."""
EXPLODED = 100.0
"""How many times its usual norm a gradient must exceed to count as exploding."""
WIDE = 3.0
"""The spread, relative to real images, and the absolute value above which images run away."""
LOST = 0.1
"""The share of its expected frequency below which a class counts as lost."""
KEPT = 0.9
"""The share of the expected number of modes below which modes count as lost."""
GAMMA = 2e-4
"""An initial gamma for R1 and similar penalties, per pixel and for a batch of one image."""


@dataclass(frozen=True)
class Finding:
    """A sentence about one kind of trouble in one epoch of a training."""

    epoch: int
    kind: str
    sentence: str


@dataclass
class Diagnostics:
    """Collects findings, at most one of each kind per epoch.

    Attributes:
        findings: The collected findings, in order.
    """

    findings: list[Finding] = field(default_factory=list)

    def note(self, epoch: int, kind: str, sentence: str | None) -> Finding | None:
        """Add and return a finding; None without a sentence or if the epoch has one of its kind."""
        if sentence is None or any(f.epoch == epoch and f.kind == kind for f in self.findings):
            return None
        self.findings.append(Finding(epoch, kind, sentence))
        return self.findings[-1]


def choices(kind: str, wanted: Callable[[Any], bool] = bool) -> str:
    """List the parts of a kind whose class satisfies `wanted`: `model/regularizer=r1, r2`."""
    return f"{GROUPS[kind]}={listing(p.name for p in REGISTRY.having(kind, wanted))}"


def start_gamma(image_size: ImageSize, batch_size: int) -> float:
    """Return an initial gamma for R1 or R2: 0.0002 · H · W / batch size.

    The penalty sums the squared gradient over all pixels, and the noise of its estimate decreases
    with the batch size. This is the rule of the automatic settings of Karras et al. (2020),
    arXiv:2006.06676.
    """
    return float(f"{GAMMA * math.prod(height_width(image_size)) / batch_size:.2g}")


def flattening(
    start: float | None = None,
    strengths: Mapping[str, float] | None = None,
    more: bool = True,
) -> str:
    """Return advice on penalties on D's gradient with respect to images.

    Args:
        start: The initial gamma to suggest (see `start_gamma`); None if it is not known.
        strengths: The strengths of such penalties in this training, by option (`r1.gamma`).
        more: Whether to advise more of them, rather than less.
    """
    value_of_rule = "" if start is None else f" = {start:g}"
    rule = f"start with 0.0002·H²/batch{value_of_rule}"
    if not strengths:
        which = choices("regularizer", lambda part: part.flattens is not None)
        return f"a penalty on D's slope ({which}; for gamma, {rule})"
    options = (f"model.regularizer.{option}={value:g}" for option, value in strengths.items())
    advice = f"{'more' if more else 'less'} of {' and '.join(options)}"
    return f"{advice} ({rule})" if any(o.endswith(".gamma") for o in strengths) else advice


def modes_advice() -> str:
    """Return advice on what to try if modes are lost."""
    paired = choices("loss", lambda part: part.needs_real)
    return (
        "Try labels (model.conditional=true), a loss that compares fakes with reals in both "
        f"updates ({paired}) with {flattening()}, or a smaller model.lr_g."
    )


def discriminator_saturated(
    loss: Loss,
    real: Tensor,
    fake: Tensor,
    strengths: Mapping[str, float] | None = None,
    start: float = 0.1,
) -> str | None:
    """Check whether D separates reals and fakes so well that its loss is flat for both.

    Args:
        loss: The loss that D is trained with; a Wasserstein loss is never flat.
        real, fake: The scores (N,) of equally many real and generated images.
        strengths: The strengths of the penalties that flatten D, by option (`r1.gamma`).
        start: The initial gamma to suggest (see `start_gamma`).
    """
    with torch.enable_grad():
        scores = [s.detach().float().clone().requires_grad_() for s in (real, fake)]
        gradients = torch.autograd.grad(loss.discriminator(*scores).sum(), scores)
    slope = max(g.abs().mean().item() for g in gradients)
    separated = scores[0].mean() > scores[1].mean()
    if slope >= FLAT or not separated:
        return None
    return (
        f"D is saturated: it scores reals {real.float().mean().item():.2f} and fakes "
        f"{fake.float().mean().item():.2f}, where its loss is flat (slope {slope:.1g}), so G "
        f"learns little from it. Try a smaller model.lr_d, {flattening(start, strengths)}, an "
        f"augmentation ({choices('augmentation')}), or a discriminator with spectral norm."
    )


def blind(real: Tensor, fake: Tensor) -> bool:
    """Check whether D hardly tells reals from fakes.

    This is the case if fewer than three in four pairs have a higher score for the real image.

    Args:
        real, fake: The scores (N,) of real and generated images.
    """
    return (real[:, None] > fake[None]).float().mean().item() < 0.75


def mean_pairwise_distance(images: Tensor) -> float:
    """Return the mean Euclidean distance over all pairs of images of a batch (N, ...), N >= 2."""
    flat = images.detach().float().flatten(1)
    return torch.pdist(flat).mean().item()


def diversity(fake: Tensor, real: Tensor, labels: Tensor | None = None) -> float | None:
    """Return the mean distance between generated images, relative to that between real ones.

    Args:
        fake, real: Images (N, C, H, W) in the same range.
        labels: The labels (N,), int64, of both. Distances are then taken within classes only,
            which exposes a generator that ignores its latents and makes one image per class.

    Returns:
        About 1 for a healthy generator, 0 if all images are equal; None if no class has two
        different real images.
    """
    if labels is None:
        groups = [torch.arange(len(fake))]
    else:
        groups = [torch.where(labels == c)[0].cpu() for c in labels.unique()]
    groups = [g for g in groups if len(g) >= 2]
    if not groups:
        return None
    among_fake = sum(mean_pairwise_distance(fake[g.to(fake.device)]) for g in groups)
    among_real = sum(mean_pairwise_distance(real[g.to(real.device)]) for g in groups)
    return among_fake / among_real if among_real > 0 else None


def generator_collapsed(
    fake: Tensor,
    real: Tensor,
    labels: Tensor | None = None,
    blinding: Mapping[str, float] | None = None,
    start: float = 0.1,
) -> str | None:
    """Check whether generated images differ from each other far less than real ones do.

    Args:
        fake, real, labels: See `diversity`.
        blinding: The strengths of the penalties that flatten D, by option (`r1.gamma`), if D does
            not tell reals from fakes (see `blind`): they are then what keeps G from learning.
        start: The initial gamma to suggest (see `start_gamma`).
    """
    ratio = diversity(fake, real, labels)
    if ratio is None or ratio >= DIVERSITY:
        return None
    where = "" if labels is None else " of one class"
    first = flattening(start, blinding, more=False)
    return (
        f"G is collapsing: its images{where} differ from each other only {ratio:.0%} as much as "
        f"real ones do. Try {first}, another model/loss, a smaller model.lr_g, or a larger "
        "datamodule.batch_size."
    )


def images_ran_away(
    fake: Tensor, real: Tensor, strengths: Mapping[str, float] | None = None, start: float = 0.1
) -> str | None:
    """Check whether images of an unbounded G have left the range of real ones, where D is flat.

    Args:
        fake, real: Images (N, C, H, W); the real ones in [-1, 1].
        strengths: The strengths of the penalties that flatten D, by option (`r1.gamma`).
        start: The initial gamma to suggest (see `start_gamma`).
    """
    wide, largest = fake.float().std() / real.float().std().clamp(min=1e-12), fake.abs().max()
    if wide <= WIDE or largest <= WIDE:
        return None
    return (
        f"the training diverges: images of G spread {wide.item():.1f} times as far as real ones, "
        f"up to {largest.item():.3g}, where 1 is white. Try a smaller model.lr_d, "
        f"{flattening(start, strengths)}, an augmentation ({choices('augmentation')}), or a "
        "generator with bounded images."
    )


def gradients_exploded(network: str, norm: float, usual: float) -> str | None:
    """Check whether a gradient norm is far above its usual value, or not finite.

    Args:
        network: `G` or `D`.
        norm: The current norm of the network's gradient.
        usual: The median of earlier norms; 0 or less if there are none.
    """
    if math.isfinite(norm) and (usual <= 0 or norm <= EXPLODED * usual):
        return None
    against = f", {norm / usual:,.0f} times its usual {usual:.2g}" if usual > 0 else ""
    return (
        f"the training diverges: gradients of {network} explode, their norm is {norm:.3g}"
        f"{against}. Try model.clip_grad_norm=1, a smaller model.lr_{network.lower()}, or a "
        "discriminator with spectral norm."
    )


def modes_lost(
    counts: Tensor, names: Sequence[str] = (), expected: Tensor | None = None
) -> str | None:
    """Check for classes to which a classifier assigns hardly any generated images.

    Args:
        counts: The number of images classified as each class, (K,), if G is sampled evenly.
        names: The names of the classes.
        expected: The classes to check, bool (K,); None for all.
    """
    rare = ~modes_present(counts)
    lost = torch.where(rare if expected is None else rare & expected)[0].tolist()
    if not lost:
        return None
    shown = [str(names[c]) if names else str(c) for c in lost[:10]]
    others = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
    return (
        f"modes are lost: of {len(counts)} classes, {listing(shown)}{others} hardly occur among "
        f"{int(counts.sum()):,} generated images. {modes_advice()}"
    )


def modes_scarce(counts: Tensor, before: int | None = None) -> str | None:
    """Check whether a sample covers fewer modes than a sample of the data would.

    This is for samples that are too small, given the number of modes, to tell for a single mode
    whether it is lost.

    Args:
        counts: The number of images classified as each mode, (K,).
        before: The number of modes in the best earlier sample of this size, to compare with; None
            compares with the expected number for K equally likely modes.
    """
    modes, n, covered = len(counts), int(counts.sum()), int((counts > 0).sum())
    expected = modes * (1 - (1 - 1 / modes) ** n)
    if covered >= KEPT * (expected if before is None else before):
        return None
    against = f"{expected:.0f} were expected" if before is None else f"there were {before} before"
    return (
        f"modes are lost: {n:,} generated images cover {covered} of {modes:,} modes, where "
        f"{against}. {modes_advice()}"
    )


def modes_present(counts: Tensor) -> Tensor:
    """Return which classes, bool (K,), have at least a tenth of their share in an even sample."""
    return counts.double() / counts.sum().clamp(min=1) >= LOST / len(counts)


def gradient_norm(parameters: Sequence[torch.nn.Parameter]) -> float:
    """Return the total norm of the parameters' gradients; 0 if there are none."""
    norms = [p.grad.detach().float().norm() for p in parameters if p.grad is not None]
    return torch.stack(norms).norm().item() if norms else 0.0
