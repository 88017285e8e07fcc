"""The adversarial step in pure PyTorch: updates of D, penalties, the update of G, the average.

What it keeps to: no host synchronisation and no Python branch on a tensor's value (what is due is
decided by host integers), static shapes, fakes for D without a graph, no gradient for D's
parameters in the update of G, spectral norms and folded kernels once per update, one backward pass
per update, penalties in fp32 under autocast.

One step is `d_steps` updates of D, each on its own slice of the batch, then one update of G on the
last slice. A fake has the label of the real image at its index.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.loss import Loss
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, full_precision, widen
from zoo.core.errors import ZooError, at_least, listing
from zoo.layers.attention import twice_differentiable
from zoo.layers.weights import cached_weights
from zoo.registry import spec_of
from zoo.training.backend import Backend
from zoo.training.compatibility import check_scores
from zoo.training.ema import EMA


class AdversarialStep:
    """`d_steps` updates of the discriminator, then one of the generator.

    Args:
        generator, discriminator: the networks.
        loss: on their scores.
        optimizer_g, optimizer_d: over the parameters of one network each.
        regularizers: all those in force, for either update; None: those that the loss brings along.
            Given any, the loss's own belong among them: `[*loss.regularizers(), R1()]`.
        augmentations: applied in this order to whatever D sees, in both updates.
        ema: the moving average of the generator.
        d_steps: updates of D for one of G.
        reuse_fakes: G is updated on the fakes of the last update of D, which saves one forward pass
            of G; otherwise it draws new ones. None: reused where `d_steps` is 1.
        compile: compile the passes and losses of both updates. An update whose regularizers
            differentiate D's own passes twice stays eager, see `compile_note`.
        compile_backend: of `torch.compile`.
        backend: what a training framework replaces.

    Attributes:
        regularizers: those in force, by the name of their metric.
        compile_note: what stays eager under `compile`, in words; empty where nothing does.

    Raises:
        ZooError: a regularizer differentiates single scores, but D mixes the images of a batch.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        loss: Loss,
        optimizer_g: torch.optim.Optimizer,
        optimizer_d: torch.optim.Optimizer,
        *,
        regularizers: Sequence[Regularizer] | None = None,
        augmentations: Sequence[Augmentation] = (),
        ema: EMA | None = None,
        d_steps: int = 1,
        reuse_fakes: bool | None = None,
        compile: bool = False,
        compile_backend: str = "inductor",
        backend: Backend | None = None,
    ) -> None:
        at_least(1, "", d_steps=d_steps)
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.optimizer_g = optimizer_g
        self.optimizer_d = optimizer_d
        self.regularizers = named(loss.regularizers() if regularizers is None else regularizers)
        self.augmentations = tuple(augmentations)
        self.ema = ema
        self.d_steps = d_steps
        self.reuse_fakes = d_steps == 1 if reuse_fakes is None else reuse_fakes
        self.backend = backend or Backend()
        self._mixes = discriminator.has_batch_statistics  # a property that walks all modules
        self._shared_weights = cached_weights(discriminator)
        self._d_parameters = [p for p in discriminator.parameters() if p.requires_grad]
        check_scores(discriminator, self.regularizers.values())
        self._forward: Callable[..., Tensor] = generator
        self._d_loss: Callable[..., tuple[Tensor, Tensor, Tensor]] = self.discriminator_loss
        self._g_loss: Callable[..., tuple[Tensor, Tensor]] = self.generator_loss
        self.compile_note = ""
        if compile:
            compiled = functools.partial(torch.compile, backend=compile_backend, dynamic=False)
            self._forward = compiled(generator)
            self._d_loss = compiled(self.discriminator_loss)
            self._g_loss = compiled(self.generator_loss)
            eager = [name for name, r in self.regularizers.items() if r.per_sample]
            if eager:
                self.compile_note = (
                    f"torch.compile has no double backward pass, which {listing(eager)} needs: "
                    "that part of the update stays eager."
                )

    def __call__(
        self, images: Tensor, labels: Tensor | None, index: int, images_seen: int | None = None
    ) -> dict[str, Tensor]:
        """Train for one step.

        Args:
            images: (d_steps * N, C, H, W) float in [-1, 1].
            labels: (d_steps * N,) int64, or None.
            index: updates of G so far; it decides which lazy regularizers are due.
            images_seen: real images of all processes so far, which the average's ramp-up follows;
                None: `index` batches like this one.

        Returns:
            Detached scalars, without a synchronisation: `loss_d`, `loss_g` (without penalties),
            `score_real`, `score_fake` (means, of the last update of D), and the penalty of each
            regularizer that was due, before `every` multiplies it.
        """
        self.prepare(len(images), index, images_seen)
        metrics = self.run(images, labels, index)
        self.backend.count_step()
        return metrics

    def prepare(self, batch_size: int, index: int, images_seen: int | None = None) -> None:
        """What depends on numbers beyond the schedule, before `run`: the weight of the average."""
        if self.ema is not None:
            images = batch_size * self.backend.world_size
            self.ema.prepare(images, index * images if images_seen is None else images_seen)

    def schedule(self, index: int) -> tuple[tuple[str, ...], ...]:
        """Names of the regularizers due in each update of step `index`, G's last.

        Steps of the same schedule do exactly the same work: what a CUDA graph is keyed on.
        """
        first = index * self.d_steps
        updates = [("discriminator", first + j) for j in range(self.d_steps)]
        return tuple(tuple(self._due(*u)) for u in [*updates, ("generator", index)])

    def run(self, images: Tensor, labels: Tensor | None, index: int) -> dict[str, Tensor]:
        """`__call__` without `prepare`: its work depends on `index` through the schedule only."""
        size, rest = divmod(len(images), self.d_steps)
        if rest:
            raise ZooError(
                f"a batch of {len(images)} images cannot be shared by d_steps={self.d_steps} "
                "updates of the discriminator: it has to be a multiple."
            )
        metrics: dict[str, Tensor] = {}
        for j in range(self.d_steps):
            part = slice(j * size, (j + 1) * size)
            real, y = images[part], None if labels is None else labels[part]
            keep = self.reuse_fakes and j == self.d_steps - 1
            fake = self.generate(size, y) if keep else None
            number = index * self.d_steps + j
            metrics |= self.discriminator_update(real, y, number, fake)
        metrics |= self.generator_update(real, y, index, fake)
        if self.ema is not None:
            self.ema.apply()
        return metrics

    def generate(self, n: int, labels: Tensor | None) -> Tensor:
        """New images (n, C, H, W), with a graph to G's parameters unless gradients are off."""
        return self._forward(self.generator.sample_latent(n), labels)

    def discriminator_update(
        self, images: Tensor, labels: Tensor | None, number: int = 0, fake: Tensor | None = None
    ) -> dict[str, Tensor]:
        """One update of D on real images (N, C, H, W).

        Args:
            number: updates of D so far.
            fake: generated images; made here where None.
        """
        if fake is None:
            with torch.no_grad():
                fake = self.generate(len(images), labels)
        fake, real = fake.detach(), images.detach()
        due = self._due("discriminator", number)
        wanted = {name for r in due.values() for name in r.differentiates}
        if "real" in wanted:
            real.requires_grad_()
        if "fake" in wanted:
            fake = widen(fake).requires_grad_()
        self.optimizer_d.zero_grad(set_to_none=True)
        compute = self.discriminator_loss if wanted else self._d_loss
        with self._shared_weights, _derivatives(due):
            loss, real_scores, fake_scores = compute(real, fake, labels)
            update = self._update(real, fake, labels, real_scores, fake_scores)
            total, penalties = _penalize(loss, due, update)
        self._apply(total, self.optimizer_d, self.discriminator, due)
        return {
            "loss_d": loss.detach(),
            "score_real": real_scores.detach().mean(),
            "score_fake": fake_scores.detach().mean(),
            **penalties,
        }

    def generator_update(
        self, images: Tensor, labels: Tensor | None, number: int = 0, fake: Tensor | None = None
    ) -> dict[str, Tensor]:
        """One update of G.

        Args:
            images: real images (N, C, H, W), used where the loss is relativistic.
            number: updates of G so far.
            fake: generated images with their graph; made here where None.
        """
        if fake is None:
            fake = self.generate(len(images), labels)
        due = self._due("generator", number)
        self.optimizer_g.zero_grad(set_to_none=True)
        with self._frozen_discriminator(), self._shared_weights, _derivatives(due):
            real_scores = None
            if self.loss.needs_real:
                with torch.no_grad():
                    real_scores = self._score(images, labels)
            loss, fake_scores = self._g_loss(fake, labels, real_scores)
            update = self._update(images, fake, labels, real_scores, fake_scores)
            total, penalties = _penalize(loss, due, update)
        self._apply(total, self.optimizer_g, self.generator, due)
        return {"loss_g": loss.detach(), **penalties}

    def discriminator_loss(
        self, real: Tensor, fake: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean loss of D, and the scores (N,) of reals and of fakes.

        One pass over both; separate passes where D has batch statistics, which would mix reals and
        fakes, and where the gradient of one side is wanted.
        """
        if self._mixes or real.requires_grad or fake.requires_grad:
            real_scores = self._score(real, labels, precise=real.requires_grad)
            fake_scores = self._score(fake, labels, precise=fake.requires_grad)
        else:
            both = None if labels is None else torch.cat((labels, labels))
            scores = self._score(torch.cat((real, fake.to(real.dtype))), both)
            real_scores, fake_scores = scores.chunk(2)
        loss = self.loss.discriminator(real_scores, fake_scores).mean()
        return loss, real_scores, fake_scores

    def generator_loss(
        self, fake: Tensor, labels: Tensor | None, real_scores: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Mean loss of G, and the scores (N,) of its images."""
        fake_scores = self._score(fake, labels)
        return self.loss.generator(fake_scores, real_scores).mean(), fake_scores

    def augment(self, images: Tensor) -> Tensor:
        """What images pass through before D."""
        for augmentation in self.augmentations:
            images = augmentation(images)
        return images

    def _score(self, images: Tensor, labels: Tensor | None, precise: bool = False) -> Tensor:
        """Scores (N,) in fp32; `precise`: also computed in fp32, for the gradient of a penalty."""
        with full_precision(images.device) if precise else nullcontext():
            scores = self.discriminator(self.augment(images), labels)
        return widen(scores)

    def _update(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        real_scores: Tensor | None,
        fake_scores: Tensor,
    ) -> Update:
        networks = self.discriminator, self.generator
        return Update(*networks, real, fake, labels, real_scores, fake_scores, self.augment)

    def _apply(
        self,
        total: Tensor,
        optimizer: torch.optim.Optimizer,
        network: nn.Module,
        due: dict[str, Regularizer],
    ) -> None:
        """Go backward and step."""
        # Autocast would run the second derivatives of an fp32 penalty in low precision.
        with full_precision(total.device):
            self.backend.backward(total)
        self.backend.sync_gradients(network)
        self.backend.optimize(optimizer, network)
        # Within one autocast region the low-precision copies of the weights would now be stale.
        torch.clear_autocast_cache()
        with torch.no_grad():
            for regularizer in due.values():
                regularizer.after_update(network)

    def _due(self, kind: str, number: int) -> dict[str, Regularizer]:
        return {
            name: r
            for name, r in self.regularizers.items()
            if r.update == kind and number % r.every == 0
        }

    @contextmanager
    def _frozen_discriminator(self) -> Iterator[None]:
        for parameter in self._d_parameters:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in self._d_parameters:
                parameter.requires_grad_(True)


def _derivatives(due: dict[str, Regularizer]) -> AbstractContextManager[None]:
    """What the passes of an update need for its penalties."""
    return twice_differentiable() if any(r.per_sample for r in due.values()) else nullcontext()


def _penalize(
    loss: Tensor, due: dict[str, Regularizer], update: Update
) -> tuple[Tensor, dict[str, Tensor]]:
    """Add the due penalties to the loss; a lazy one counts `every` times."""
    penalties: dict[str, Tensor] = {}
    for name, regularizer in due.items():
        penalty = regularizer(update)
        if penalty is not None:
            penalties[name] = penalty.detach()
            loss = loss + regularizer.every * penalty
    return loss, penalties


def named(regularizers: Sequence[Regularizer]) -> dict[str, Regularizer]:
    """Regularizers by registered name, or by class name in snake case; numbered where doubled."""
    named: dict[str, Regularizer] = {}
    for regularizer in regularizers:
        spec = spec_of(regularizer)
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(regularizer).__name__).lower()
        base = name = spec["name"] if spec else snake
        count = 1
        while name in named:
            count += 1
            name = f"{base}_{count}"
        named[name] = regularizer
    return named
