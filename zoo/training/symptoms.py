"""What goes wrong in a training, in words: pure functions on scores, images and norms.

Each function looks at one symptom and returns a sentence that says what is seen and what to try,
or None where all is well. `Diagnostics` lets every kind speak once per epoch and keeps what was
said for the report.
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
DIVERSITY = 0.35
EXPLODED = 100.0
WIDE = 3.0
LOST = 0.1
KEPT = 0.9
GAMMA = 2e-4
"""A first gamma for R1 and its like, per pixel of an image and for a batch of one."""


@dataclass(frozen=True)
class Finding:
    """A sentence about one kind of trouble in one epoch."""

    epoch: int
    kind: str
    sentence: str


@dataclass
class Diagnostics:
    """Lets each kind of finding through once per epoch.

    Attributes:
        findings: all that got through, in order.
    """

    findings: list[Finding] = field(default_factory=list)

    def note(self, epoch: int, kind: str, sentence: str | None) -> Finding | None:
        """The finding, if there is a sentence and `kind` has not spoken in this epoch."""
        if sentence is None or any(f.epoch == epoch and f.kind == kind for f in self.findings):
            return None
        self.findings.append(Finding(epoch, kind, sentence))
        return self.findings[-1]


def choices(kind: str, wanted: Callable[[Any], bool] = bool) -> str:
    """`model/regularizer=r1, r2`: the parts of a kind, or those whose class is as wanted."""
    return f"{GROUPS[kind]}={listing(p.name for p in REGISTRY.having(kind, wanted))}"


def start_gamma(image_size: ImageSize, batch_size: int) -> float:
    """Where to start a search for the gamma of R1 or R2: 0.0002 · H² / batch, or H · W.

    The squared gradient is summed over all pixels, and the noise of its estimate falls with the
    batch. Paper: Karras et al. (2020), arXiv:2006.06676, whose automatic settings it is.
    """
    return float(f"{GAMMA * math.prod(height_width(image_size)) / batch_size:.2g}")


def flattening(
    start: float | None = None,
    strengths: Mapping[str, float] | None = None,
    more: bool = True,
) -> str:
    """What holds D's slope down, as advice.

    Args:
        start: see `start_gamma`; None where size and batch are not known.
        strengths: of the penalties that are there (`r1.gamma`), to be changed.
        more: whether they do too little, rather than too much.
    """
    known = "" if start is None else f" = {start:g}"
    rule = f"0.0002·H²/batch{known} is where to start"
    if not strengths:
        which = choices("regularizer", lambda part: part.flattens is not None)
        return f"a penalty on D's slope ({which}; with gamma {rule})"
    options = (f"model.regularizer.{option}={value:g}" for option, value in strengths.items())
    advice = f"{'more' if more else 'less'} of {' and '.join(options)}"
    return f"{advice} ({rule})" if any(o.endswith(".gamma") for o in strengths) else advice


def modes_advice() -> str:
    """What to try where modes are lost."""
    paired = choices("loss", lambda part: part.needs_real)
    return (
        "Try labels (model.conditional=true), a loss that holds fakes against reals in both "
        f"updates ({paired}) with {flattening()}, or a smaller model.lr_g."
    )


def discriminator_saturated(
    loss: Loss,
    real: Tensor,
    fake: Tensor,
    strengths: Mapping[str, float] | None = None,
    start: float = 0.1,
) -> str | None:
    """D separates reals and fakes so well that its loss is flat on both sides.

    Args:
        loss: in whose terms the scores are; a Wasserstein loss is never flat.
        real, fake: scores (N,) of the same number of real and of generated images.
        strengths: of the penalties that flatten D (`r1.gamma`).
        start: see `start_gamma`.
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
        f"augmentation ({choices('augmentation')}), or a spectral-norm discriminator."
    )


def blind(real: Tensor, fake: Tensor) -> bool:
    """Whether D hardly tells: a real image scores above a fake less than three times in four.

    Args:
        real, fake: scores (N,).
    """
    return (real[:, None] > fake[None]).float().mean().item() < 0.75


def mean_pairwise_distance(images: Tensor) -> float:
    """Mean Euclidean distance of all pairs of different images of a batch (N, ...), N >= 2."""
    flat = images.detach().float().flatten(1)
    return torch.pdist(flat).mean().item()


def diversity(fake: Tensor, real: Tensor, labels: Tensor | None = None) -> float | None:
    """How different generated images are from each other, over the same among real ones.

    Args:
        fake, real: images (N, C, H, W) in one scale.
        labels: of both, int64 (N,); pairs are then formed within classes, so that a generator
            that ignores its latents and only draws ten pictures is found out.

    Returns:
        About 1 is healthy, 0 is one image; None where no class has two real images that differ.
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
    """Generated images differ from each other far less than real ones; arguments of `diversity`.

    Args:
        blinding: strengths of the penalties that flatten D (`r1.gamma`), where D does not tell
            reals from fakes (`blind`): then they are what keeps G from learning.
        start: see `start_gamma`.
    """
    ratio = diversity(fake, real, labels)
    if ratio is None or ratio >= DIVERSITY:
        return None
    where = "" if labels is None else " of one class"
    first = flattening(start, blinding, more=False)
    return (
        f"G is collapsing: its images{where} differ from each other {ratio:.0%} as much as real "
        f"ones do. Try {first}, another model/loss, a smaller model.lr_g, or a "
        "larger datamodule.batch_size."
    )


def images_ran_away(
    fake: Tensor, real: Tensor, strengths: Mapping[str, float] | None = None, start: float = 0.1
) -> str | None:
    """Images of a G without a bound lie far outside of the real ones, where D is flat.

    Args:
        fake, real: images (N, C, H, W), the real ones in [-1, 1].
        strengths: of the penalties that flatten D (`r1.gamma`).
        start: see `start_gamma`.
    """
    wide, largest = fake.float().std() / real.float().std().clamp(min=1e-12), fake.abs().max()
    if wide <= WIDE or largest <= WIDE:
        return None
    return (
        f"the training diverges: images of G spread {wide.item():.1f} times as far as real ones, "
        f"up to {largest.item():.3g} where 1 is white. Try a smaller model.lr_d, "
        f"{flattening(start, strengths)}, an augmentation ({choices('augmentation')}), or a G that "
        "is bounded."
    )


def gradients_exploded(network: str, norm: float, usual: float) -> str | None:
    """A gradient norm far above what it was.

    Args:
        network: `G` or `D`.
        norm: of the gradient now.
        usual: median of earlier ones; 0 or less where there is none.
    """
    if math.isfinite(norm) and (usual <= 0 or norm <= EXPLODED * usual):
        return None
    against = f", {norm / usual:,.0f} times its usual {usual:.2g}" if usual > 0 else ""
    return (
        f"the training diverges: gradients of {network} explode, their norm is {norm:.3g}"
        f"{against}. Try model.clip_grad_norm=1, a smaller model.lr_{network.lower()}, or a "
        "spectral-norm discriminator."
    )


def modes_lost(
    counts: Tensor, names: Sequence[str] = (), expected: Tensor | None = None
) -> str | None:
    """Classes that hardly any generated image is read as.

    Args:
        counts: images read as each class, (K,), of a generator asked for all of them.
        names: of the classes.
        expected: bool (K,), the classes to look at; None looks at all.
    """
    gone = ~modes_present(counts)
    lost = torch.where(gone if expected is None else gone & expected)[0].tolist()
    if not lost:
        return None
    shown = [str(names[c]) if names else str(c) for c in lost[:10]]
    others = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
    return (
        f"modes are lost: of {len(counts)} classes, {listing(shown)}{others} hardly occur among "
        f"{int(counts.sum()):,} generated images. {modes_advice()}"
    )


def modes_scarce(counts: Tensor, before: int | None = None) -> str | None:
    """Fewer of many modes among a sample than it holds of a distribution with all of them.

    For samples that are too small to tell of each single mode whether it is lost.

    Args:
        counts: images read as each mode, (K,).
        before: modes in the best earlier sample of this size, to compare with; None compares with
            a sample of K equally likely modes.
    """
    modes, n, hit = len(counts), int(counts.sum()), int((counts > 0).sum())
    expected = modes * (1 - (1 - 1 / modes) ** n)
    if hit >= KEPT * (expected if before is None else before):
        return None
    against = f"{expected:.0f} are to be expected" if before is None else f"{before} were before"
    return (
        f"modes are lost: {n:,} generated images hold {hit} of {modes:,} modes, where {against}. "
        f"{modes_advice()}"
    )


def modes_present(counts: Tensor) -> Tensor:
    """Which classes (K,) occur at least a tenth as often as they would evenly."""
    return counts.double() / counts.sum().clamp(min=1) >= LOST / len(counts)


def gradient_norm(parameters: Sequence[torch.nn.Parameter]) -> float:
    """Norm of the gradients that an optimizer step left behind; 0 where there are none."""
    norms = [p.grad.detach().float().norm() for p in parameters if p.grad is not None]
    return torch.stack(norms).norm().item() if norms else 0.0
