"""Penalties and other changes to an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.outputs import DiscriminatorOutput, Side
from zoo.contracts.update import Update
from zoo.core.errors import at_least

Pass = Callable[[Tensor, Tensor | None], DiscriminatorOutput]


class Regularizer(nn.Module):
    """A penalty added to one network's loss, or another change to the updates.

    A subclass overrides the hooks it needs, and no others. `every=k` makes a penalty lazy: it acts
    on every k-th update with k times its weight, so that its mean strength stays the same (Karras
    et al., 2020, arXiv:1912.04958). The hooks that define a method (`latents`,
    `wrap_discriminator`, `weights`) act in every update.

    Attributes:
        sides: the updates in which `forward`, `weights` and `after_update` act.
        per_sample: it differentiates each image's score on its own, so that the network must have
            no batch statistics, and it needs a double backward pass.
        differentiates: images of the step's own passes ("real", "fake") whose gradient it takes, so
            that the step makes them differentiable and nothing is computed twice.
        repeats: images of the step's own passes that it shows D again, changed and under the same
            random numbers (`Update.randoms`), so that nothing is computed twice.
        needs_real: it wants what D says of real images in G's update as well.
        one_score: it needs a single score of each image, so that D must not have `several_scores`.
        packs: how many images D sees as one, stacked on channels.
        flattens: the option by whose strength it holds D's slope at images near 0; too much of it
            makes D blind. None where it does no such thing.
        schedulable: options that a schedule may change while training; they are then 0-dim tensors.
        claims_cuda_graph: as of a `Generator`; numbers that change in training are then tensors,
            changed in place (as LeCam's averages), not attributes of Python.
    """

    sides: ClassVar[tuple[Side, ...]] = ("discriminator",)
    per_sample: ClassVar[bool] = False
    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ()
    repeats: ClassVar[tuple[Literal["real", "fake"], ...]] = ()
    needs_real: ClassVar[bool] = False
    one_score: ClassVar[bool] = False
    packs: int = 1
    flattens: ClassVar[str | None] = None
    schedulable: ClassVar[tuple[str, ...]] = ()
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        at_least(1, f"{type(self).__name__}: ", every=every)
        self.every = every

    def overrides(self, hook: str) -> bool:
        """Whether this class has a hook of its own."""
        return getattr(type(self), hook) is not getattr(Regularizer, hook)

    def is_due(self, number: int) -> bool:
        """Whether it acts in an update, after `number` others of its side."""
        return number % self.every == 0

    @property
    def gives_penalty(self) -> bool:
        """Whether it adds to the loss, rather than only changing an update otherwise."""
        return self.overrides("forward")

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        """Called once before the optimizers are made; calling it again changes nothing."""

    def forward(self, update: Update) -> Tensor | None:
        """The penalty as a scalar, from what the step already computed; None for none."""
        return None

    def weights(self, update: Update) -> Tensor | None:
        """Weights (M,) of the update's own loss values, of mean 1; None for equal ones."""
        return None

    def latents(self, z: Tensor, labels: Tensor | None, score: Pass) -> Tensor:
        """Other latents (N, latent_dim) in place of those drawn.

        Args:
            score: what D, frozen, says of the images of latents: `score(z, labels)`.
        """
        return z

    def wrap_discriminator(
        self, inner: Pass, images: Tensor, labels: Tensor | None
    ) -> DiscriminatorOutput:
        """What D says of `images`, from its own pass `inner(images, labels)`."""
        return inner(images, labels)

    def after_update(self, network: nn.Module) -> None:
        """Called without gradients after the optimizer's step on `network`."""

    def diagnose(self, value: float) -> str | None:
        """Advice, as a sentence, where the mean `value` of its penalty tells of trouble."""
        return None
