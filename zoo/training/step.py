"""The adversarial training step in pure PyTorch: the updates of D, of G and of the weight average.

One step is `d_steps` updates of D, each on its own slice of the batch, then one update of G on the
last slice or on a slice of its own. Each fake has the label of the real image at the same index.
No method is treated specially: networks, heads, losses, regularizers and augmentations act through
their contracts.

Invariants: no host synchronization, no Python branch on a tensor's value (integers on the host
decide which penalties are due), static shapes, detached fakes in D's update, no gradients for D's
parameters in G's update, spectral norms and folded kernels computed once per update, one backward
pass per update (or piece of its batch), and penalties in fp32 under autocast.
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
from zoo.contracts.update import Update, widen
from zoo.core.errors import ZooError, at_least, listing
from zoo.layers.derivatives import twice_differentiable
from zoo.layers.precision import full_precision
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
    """One training step: `d_steps` updates of the discriminator, then one of the generator.

    Args:
        generator, discriminator: The networks.
        loss: The adversarial loss on D's scores.
        optimizer_g, optimizer_d: The optimizers of the generator and of the discriminator.
        regularizers: All regularizers of both updates, including those of the loss:
            `[*loss.regularizers(), R1()]`. None for the loss's own ones only.
        augmentations: Applied, in this order, to all images that D sees in both updates.
        ema: The moving average of the generator's weights; None for no average.
        schedules: The settings that change during training; None if there are none.
        d_steps: The number of updates of D per update of G.
        accumulate: The number of pieces that the batch of an update is split into. Their gradients
            are accumulated before a single optimizer step, so that an update needs only the memory
            of one piece. Statistics over the batch (batch norm and its running statistics,
            minibatch standard deviation, relativistic means) are then computed for each piece.
        own_batch_for_g: Whether the update of G gets real images of its own, which follow those of
            D in the batch, instead of the images of D's last update.
        reuse_fakes: Whether the update of G reuses the fakes of D's last update, which saves one
            forward pass of G, instead of drawing new ones. None reuses them if `d_steps` and
            `accumulate` are 1 and no other option rules it out.
        compile: Whether to compile the passes and losses of both updates. An update whose
            regularizers need a double backward pass through D stays eager (see `compile_note`).
        compile_backend: The backend of `torch.compile`.
        backend: Runs backward passes and optimizer steps; a training framework passes its own.

    Attributes:
        regularizers: The regularizers by the name of their metric.
        compile_note: A sentence on what stays eager under `compile`; empty if nothing does.

    Raises:
        ZooError: A regularizer differentiates the score of each image, but D has batch norm; or
            fakes are to be reused although an option or a regularizer rules it out.
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
        self._repeats = not compile  # the random numbers of a compiled pass cannot be recorded
        self.compile_note = ""
        if compile:
            compiled = functools.partial(torch.compile, backend=compile_backend, dynamic=False)
            eager = [name for name, r in self.regularizers.items() if r.per_sample]
            of_g = any(self.regularizers[name].sides == ("generator",) for name in eager)
            if not (of_g or self.passes.moves_latents):  # these differentiate the pass of G twice
                self.passes.synthesize = compiled(self.passes.synthesize)
            self._d_loss = compiled(self.discriminator_loss)
            self._g_loss = compiled(self.generator_loss)
            if eager:
                self.compile_note = (
                    "torch.compile does not support the double backward pass that "
                    f"{listing(eager)} needs: that part of the update stays eager."
                )

    def __call__(
        self, images: Tensor, labels: Tensor | None, index: int, images_seen: int | None = None
    ) -> Metrics:
        """Train for one step.

        Args:
            images: Real images (slices * N, C, H, W), float in [-1, 1]; there are `d_steps` slices,
                and one more with `own_batch_for_g`.
            labels: Their labels (slices * N,), int64, or None.
            index: The number of updates of G so far, which determines the lazy regularizers due.
            images_seen: The number of real images that D was trained on so far, over all processes,
                for the ramp-up of the average and the schedules. None assumes `index` such batches.

        Returns:
            Detached scalars on the device: `loss_d` and `loss_g` (without penalties and auxiliary
            losses), `score_real` and `score_fake` (means in the last update of D), each auxiliary
            loss, and the penalty of each regularizer that was due (not multiplied by `every`).
        """
        self.prepare(len(images), index, images_seen)
        metrics = self.run(images, labels, index)
        self.backend.count_step()
        return metrics

    def prepare(self, batch_size: int, index: int, images_seen: int | None = None) -> None:
        """Write the scheduled values and the weight of the average; call this before `run`.

        A CUDA graph leaves this out, since the values depend on numbers that change in every step.
        """
        count = slices_of_step(self.d_steps, self.own_batch_for_g)
        images = batch_size * self.d_steps // count * self.backend.world_size
        seen = index * images if images_seen is None else images_seen
        if self.schedules is not None:
            self.schedules.prepare(seen)
        if self.ema is not None:
            self.ema.prepare(images, seen)

    def schedule(self, index: int) -> tuple[tuple[str, ...], ...]:
        """Return the names of the regularizers due in each update of step `index`, G's last.

        Steps with equal schedules do exactly the same work, so that they can share a CUDA graph.
        """
        first = index * self.d_steps
        updates: list[tuple[Side, int]]
        updates = [("discriminator", first + j) for j in range(self.d_steps)]
        return tuple(tuple(self._due(*u)) for u in [*updates, ("generator", index)])

    def run(self, images: Tensor, labels: Tensor | None, index: int) -> Metrics:
        """Do the work of `__call__` after `prepare`, which depends only on `schedule(index)`."""
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
        """Update D once.

        Args:
            images, labels: Real images (N, C, H, W) and their labels (N,), or None.
            number: The number of updates of D so far.
            generated: The output of G for these labels; None to generate it here.
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
        """Update G once.

        Args:
            images, labels: Real images (N, C, H, W), which are scored only if the loss, the head or
                a regularizer needs it, and their labels (N,), or None.
            number: The number of updates of G so far.
            generated: The output of G for these labels, with its graph; None to generate it here.
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
        """Return the loss values (M, ...) of D, and its outputs for the reals and for the fakes.

        Args:
            randoms: Contexts that record the random numbers of the pass over "real" or "fake".
        """
        check_packs(len(real), self.passes.packs)
        real_output, fake_output = self.passes.discriminate_both(real, fake, labels, randoms)
        values = self.loss.discriminator(real_output.scores, fake_output.scores)
        return values, real_output, fake_output

    def generator_loss(
        self, fake: Tensor, labels: Tensor | None, real_scores: Tensor | None
    ) -> tuple[Tensor, DiscriminatorOutput]:
        """Return the loss values (M, ...) of G, and D's output for its images."""
        fake_output = self.passes.discriminate(fake, labels)
        return self.loss.generator(fake_output.scores, real_scores), fake_output

    def _may_reuse(self, requested: bool | None) -> bool:
        """Resolve the option `reuse_fakes`."""
        rules_out = {
            "accumulate": self.accumulate > 1,
            "own_batch_for_g": self.own_batch_for_g,
            listing(named(self.passes.moves_latents)): bool(self.passes.moves_latents),
        }
        reasons = [name for name, applies in rules_out.items() if applies]
        if requested and reasons:
            raise ZooError(f"reuse_fakes=True cannot be combined with {listing(reasons)}.")
        return not reasons and self.d_steps == 1 if requested is None else requested

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
            # The pieces of a batch share derived weights, and thus a part of their graphs.
            self.backend.backward(total, retain_graph=not last)

    def _apply(
        self,
        optimizer: torch.optim.Optimizer,
        network: nn.Module,
        due: dict[str, Regularizer],
    ) -> None:
        self.backend.sync_gradients(network)
        self.backend.optimize(optimizer, network)
        # Autocast's cached low-precision copies of the weights are now stale.
        torch.clear_autocast_cache()
        with torch.no_grad():
            for regularizer in due.values():
                regularizer.after_update(network)

    def _due(self, side: Side, number: int) -> dict[str, Regularizer]:
        return {
            name: r for name, r in self.regularizers.items() if side in r.sides and r.is_due(number)
        }


def _derivatives(due: dict[str, Regularizer]) -> AbstractContextManager[None]:
    """Return the context that an update's passes need for its penalties to differentiate them."""
    return twice_differentiable() if any(r.per_sample for r in due.values()) else nullcontext()
