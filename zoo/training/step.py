"""The adversarial step in pure PyTorch: updates of D, penalties, the update of G, the average.

What it keeps to: no host synchronisation and no Python branch on a tensor's value (what is due is
decided by host integers), static shapes, fakes for D without a graph, no gradient for D's
parameters in the update of G, spectral norms and folded kernels once per update, one backward pass
per update (and piece of its batch), penalties in fp32 under autocast.

One step is `d_steps` updates of D, each on its own slice of the batch, then one update of G on the
last slice, or on a slice of its own. A fake has the label of the real image at its index.

It knows no method by name: networks, heads, losses, regularizers and augmentations act through
their contracts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, get_args

import torch
from torch import Tensor, nn

from zoo.contracts.augmentation import Augmentation
from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.loss import Loss
from zoo.contracts.outputs import DiscriminatorOutput, GeneratorOutput, Side
from zoo.contracts.regularizer import Regularizer
from zoo.contracts.update import Update, full_precision, widen
from zoo.core.errors import ZooError, at_least, listing
from zoo.layers.attention import twice_differentiable
from zoo.layers.randoms import SameRandoms
from zoo.layers.shapes import check_packs
from zoo.registry.signature import held_to_signature
from zoo.training.backend import Backend
from zoo.training.batches import pieces, slices, slices_of_step
from zoo.training.compatibility import check_scores
from zoo.training.ema import EMA
from zoo.training.passes import Passes
from zoo.training.schedules import Schedules
from zoo.training.terms import add_terms, mean_loss, mean_terms, named, weighing

Metrics = dict[str, Tensor]
Randoms = Mapping[str, SameRandoms]


@held_to_signature("")
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
        schedules: of settings that change while training.
        d_steps: updates of D for one of G.
        accumulate: pieces that the images of an update are shared into; their gradients are summed
            up before the one step of the optimizer, so that an update needs the memory of a piece.
            What looks at a batch (batch norm and its running statistics, minibatch standard
            deviation, relativistic means) looks at a piece.
        own_batch_for_g: G is updated beside real images of its own, which follow those of D in the
            batch, instead of those of D's last update.
        reuse_fakes: G is updated on the fakes of the last update of D, which saves one forward pass
            of G; otherwise it draws new ones. None: reused where `d_steps` and `accumulate` are 1
            and nothing forbids it.
        compile: compile the passes and losses of both updates. An update whose regularizers
            differentiate D's own passes twice stays eager, see `compile_note`.
        compile_backend: of `torch.compile`.
        backend: what a training framework replaces.

    Attributes:
        regularizers: those in force, by the name of their metric.
        compile_note: what stays eager under `compile`, in words; empty where nothing does.

    Raises:
        ZooError: a regularizer differentiates single scores, but D mixes the images of a batch; or
            fakes are to be reused although a regularizer chooses their latents by D.
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
        schedules: Schedules | None = None,
        d_steps: Annotated[int, at_least(1)] = 1,
        accumulate: Annotated[int, at_least(1)] = 1,
        own_batch_for_g: bool = False,
        reuse_fakes: bool | None = None,
        compile: bool = False,
        compile_backend: str = "inductor",
        backend: Backend | None = None,
    ) -> None:
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.optimizer_g = optimizer_g
        self.optimizer_d = optimizer_d
        self.regularizers = named(loss.regularizers() if regularizers is None else regularizers)
        methods = [*self.regularizers.values()]
        for regularizer in methods:
            regularizer.setup(generator, discriminator)
        check_scores(discriminator, methods)
        self.augmentations = tuple(augmentations)
        self.passes = Passes(generator, discriminator, methods, self.augmentations, accumulate)
        self.ema = ema
        self.schedules = schedules
        self.d_steps = d_steps
        self.accumulate = accumulate
        self.own_batch_for_g = own_batch_for_g
        self.reuse_fakes = self._may_reuse(reuse_fakes)
        self.backend = backend or Backend()
        self._shared_weights = self.passes.shared_weights
        self._weighing = {side: weighing(methods, side) for side in get_args(Side)}
        head = getattr(discriminator, "head", None)
        self._replaces_loss = getattr(head, "replaces_loss", False)
        self._needs_real = loss.needs_real or getattr(head, "needs_real", False)
        self._d_loss: Callable[..., tuple[Tensor, DiscriminatorOutput, DiscriminatorOutput]]
        self._g_loss: Callable[..., tuple[Tensor, DiscriminatorOutput]]
        self._d_loss, self._g_loss = self.discriminator_loss, self.generator_loss
        self._repeats = not compile  # a compiled pass does not say which numbers it drew
        self.compile_note = ""
        if compile:
            compiled = functools.partial(torch.compile, backend=compile_backend, dynamic=False)
            if not self.passes.moves_latents:  # for which G's own pass is differentiated twice
                self.passes.synthesize = compiled(self.passes.synthesize)
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
    ) -> Metrics:
        """Train for one step.

        Args:
            images: (slices * N, C, H, W) float in [-1, 1], with `d_steps` slices and one more where
                G has a batch of its own.
            labels: (slices * N,) int64, or None.
            index: updates of G so far; it decides which lazy regularizers are due.
            images_seen: real images of all processes that D was trained on so far, which the
                average's ramp-up and the schedules follow; None: `index` batches like this one.

        Returns:
            Detached scalars, without a synchronisation: `loss_d`, `loss_g` (without penalties and
            auxiliary losses), `score_real`, `score_fake` (means, of the last update of D), each
            auxiliary loss, and the penalty of each regularizer that was due, before `every`
            multiplies it.
        """
        self.prepare(len(images), index, images_seen)
        metrics = self.run(images, labels, index)
        self.backend.count_step()
        return metrics

    def prepare(self, batch_size: int, index: int, images_seen: int | None = None) -> None:
        """What depends on numbers beyond the schedule, before `run`.

        The schedules' values and the weight of the average, written from host numbers.
        """
        shares = slices_of_step(self.d_steps, self.own_batch_for_g)
        images = batch_size * self.d_steps // shares * self.backend.world_size
        seen = index * images if images_seen is None else images_seen
        if self.schedules is not None:
            self.schedules.prepare(seen)
        if self.ema is not None:
            self.ema.prepare(images, seen)

    def schedule(self, index: int) -> tuple[tuple[str, ...], ...]:
        """Names of the regularizers due in each update of step `index`, G's last.

        Steps of the same schedule do exactly the same work: what a CUDA graph is keyed on.
        """
        first = index * self.d_steps
        updates: list[tuple[Side, int]]
        updates = [("discriminator", first + j) for j in range(self.d_steps)]
        return tuple(tuple(self._due(*u)) for u in [*updates, ("generator", index)])

    def run(self, images: Tensor, labels: Tensor | None, index: int) -> Metrics:
        """`__call__` without `prepare`: its work depends on `index` through the schedule only."""
        batches = slices(images, labels, self.d_steps, self.own_batch_for_g, self.accumulate)
        metrics: Metrics = {}
        generated = None
        for j, (real, y) in enumerate(batches[: self.d_steps]):
            keep = self.reuse_fakes and j == self.d_steps - 1
            generated = self.passes.generate(len(real), y) if keep else None
            metrics |= self.discriminator_update(real, y, index * self.d_steps + j, generated)
        metrics |= self.generator_update(*batches[-1], index, generated)
        if self.ema is not None:
            self.ema.apply()
        return metrics

    def discriminator_update(
        self,
        images: Tensor,
        labels: Tensor | None,
        number: int = 0,
        generated: GeneratorOutput | None = None,
    ) -> Metrics:
        """One update of D on real images (N, C, H, W).

        Args:
            number: updates of D so far.
            generated: what G made; made here where None.
        """
        due = self._due("discriminator", number)
        wanted = {name for r in due.values() for name in r.differentiates}
        repeated = {name for r in due.values() for name in r.repeats} if self._repeats else set()
        compute = self.discriminator_loss if wanted or repeated else self._d_loss
        self.optimizer_d.zero_grad(set_to_none=True)
        rows = []
        with self._shared_weights, _derivatives(due):
            for real, y, fakes, i in pieces(images, labels, generated, self.accumulate):
                if fakes is None:
                    with torch.no_grad():
                        fakes = self.passes.generate(len(real), y)
                fakes, real = fakes.detach(), real.detach()
                real = self.passes.reals(real, fakes.images)
                if "real" in wanted:
                    real.requires_grad_()
                if "fake" in wanted:
                    fakes = fakes._replace(images=widen(fakes.images).requires_grad_())
                randoms: Randoms = {name: SameRandoms() for name in repeated}
                values, real_output, fake_output = compute(real, fakes.images, y, randoms)
                outputs = (real_output, fake_output)
                update = self._update("discriminator", real, y, fakes, outputs, i, randoms)
                loss = self._mean(values, update)
                total, terms = add_terms(loss, due, update)
                self._backward(total, update.is_last)
                self._observe(update)
                rows.append(
                    {
                        "loss_d": loss.detach(),
                        "score_real": real_output.scores.detach().mean(),
                        "score_fake": fake_output.scores.detach().mean(),
                        **terms,
                    }
                )
        self._apply(self.optimizer_d, self.discriminator, due)
        return mean_terms(rows)

    def generator_update(
        self,
        images: Tensor,
        labels: Tensor | None,
        number: int = 0,
        generated: GeneratorOutput | None = None,
    ) -> Metrics:
        """One update of G.

        Args:
            images: real images (N, C, H, W), scored where the loss or a method asks for it.
            number: updates of G so far.
            generated: what G made, with its graph; made here where None.
        """
        due = self._due("generator", number)
        needs_real = self._needs_real or any(r.needs_real for r in due.values())
        self.optimizer_g.zero_grad(set_to_none=True)
        rows = []
        with self.passes.frozen_discriminator(), self._shared_weights, _derivatives(due):
            for real, y, fakes, i in pieces(images, labels, generated, self.accumulate):
                if fakes is None:
                    fakes = self.passes.generate(len(real), y)
                real_output = None
                if needs_real:
                    with torch.no_grad():
                        real_output = self.passes.discriminate(real, y)
                real_scores = None if real_output is None else real_output.scores
                values, fake_output = self._g_loss(fakes.images, y, real_scores)
                outputs = (real_output, fake_output)
                update = self._update("generator", real, y, fakes, outputs, i)
                loss = self._mean(values, update)
                total, terms = add_terms(loss, due, update)
                self._backward(total, update.is_last)
                rows.append({"loss_g": loss.detach(), **terms})
        self._apply(self.optimizer_g, self.generator, due)
        return mean_terms(rows)

    def discriminator_loss(
        self,
        real: Tensor,
        fake: Tensor,
        labels: Tensor | None,
        randoms: Randoms,
    ) -> tuple[Tensor, DiscriminatorOutput, DiscriminatorOutput]:
        """Loss values (M, ...) of D, and what it says of reals and of fakes.

        Args:
            randoms: keep the random numbers of a side's pass.
        """
        check_packs(len(real), self.passes.packs)
        real_output, fake_output = self.passes.discriminate_both(real, fake, labels, randoms)
        values = self.loss.discriminator(real_output.scores, fake_output.scores)
        return values, real_output, fake_output

    def generator_loss(
        self, fake: Tensor, labels: Tensor | None, real_scores: Tensor | None
    ) -> tuple[Tensor, DiscriminatorOutput]:
        """Loss values (M, ...) of G, and what D says of its images."""
        fake_output = self.passes.discriminate(fake, labels)
        return self.loss.generator(fake_output.scores, real_scores), fake_output

    def _may_reuse(self, asked: bool | None) -> bool:
        reasons = {
            "accumulate": self.accumulate > 1,
            "own_batch_for_g": self.own_batch_for_g,
            listing(named(self.passes.moves_latents)): bool(self.passes.moves_latents),
        }
        forbidding = [name for name, forbids in reasons.items() if forbids]
        if asked and forbidding:
            raise ZooError(f"reuse_fakes=True does not go together with {listing(forbidding)}.")
        return not forbidding and self.d_steps == 1 if asked is None else asked

    def _mean(self, values: Tensor, update: Update) -> Tensor:
        if self._replaces_loss:
            return update.fake_output.scores.new_zeros(())
        return mean_loss(values, self._weighing[update.side], update)

    def _update(
        self,
        side: Side,
        real: Tensor,
        labels: Tensor | None,
        generated: GeneratorOutput,
        outputs: tuple[DiscriminatorOutput | None, DiscriminatorOutput],
        piece: int,
        randoms: Randoms | None = None,
    ) -> Update:
        return Update(
            side=side,
            generator=self.generator,
            discriminator=self.discriminator,
            real=real,
            labels=labels,
            generated=generated,
            real_output=outputs[0],
            fake_output=outputs[1],
            discriminate=self.passes.discriminate,
            generate=self.passes.generate,
            randoms=randoms or {},
            loss_scale=self.backend.loss_scale,
            piece=piece,
            pieces=self.accumulate,
        )

    @torch.no_grad()
    def _observe(self, update: Update) -> None:
        for augmentation in self.passes.watchers:
            augmentation.observe(update)

    def _backward(self, total: Tensor, last: bool) -> None:
        if self.accumulate > 1:
            total = total / self.accumulate
        # Autocast would run the second derivatives of an fp32 penalty in low precision.
        with full_precision(total.device):
            # The pieces of a batch share derived weights, and with them a part of their graphs.
            self.backend.backward(total, retain_graph=not last)

    def _apply(
        self,
        optimizer: torch.optim.Optimizer,
        network: nn.Module,
        due: dict[str, Regularizer],
    ) -> None:
        self.backend.sync_gradients(network)
        self.backend.optimize(optimizer, network)
        # Within one autocast region the low-precision copies of the weights would now be stale.
        torch.clear_autocast_cache()
        with torch.no_grad():
            for regularizer in due.values():
                regularizer.after_update(network)

    def _due(self, side: Side, number: int) -> dict[str, Regularizer]:
        return {
            name: r for name, r in self.regularizers.items() if side in r.sides and r.is_due(number)
        }


def _derivatives(due: dict[str, Regularizer]) -> AbstractContextManager[None]:
    """What the passes of an update need for its penalties."""
    return twice_differentiable() if any(r.per_sample for r in due.values()) else nullcontext()
