"""The base class of regularizers: penalties and other changes to an update."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from torch import Tensor, nn

from zoo.contracts.discriminator import Discriminator
from zoo.contracts.generator import Generator
from zoo.contracts.outputs import DiscriminatorOutput, Side
from zoo.contracts.update import Update
from zoo.core.errors import at_least
from zoo.registry import name_of

Pass = Callable[[Tensor, Tensor | None], DiscriminatorOutput]


class Regularizer(nn.Module):
    """A penalty added to one network's loss, or another change to the updates.

    A subclass overrides only the hooks it needs. With `every=k` a penalty is lazy: it is added in
    every k-th update with k times its weight, so that its average strength stays the same (Karras
    et al., 2020, arXiv:1912.04958). The hooks that define a method (`latents`,
    `wrap_discriminator`, `weights`) act in every update.

    Args:
        every: Add the penalty in every `every`-th update only.

    Attributes:
        sides: The updates in which `forward`, `weights` and `after_update` are called.
        per_sample: Whether it differentiates each image, or its score, separately. This needs a
            double backward pass, and in D a network without batch statistics.
        differentiates: The images ("real", "fake") whose gradient it takes in the step's own pass
            of D. The step makes them differentiable, so that no extra pass is needed.
        repeats: The images ("real", "fake") that it shows to D a second time, modified but under
            the random numbers of the step's own pass (`Update.randoms`), so that it can compare
            with that pass.
        needs_real: Whether it needs D's output for real images in G's update too.
        one_score: Whether it needs exactly one score per image (no `several_scores`).
        packs: How many images D sees as one, concatenated along the channels.
        flattens: The name of the option that sets how strongly D's gradient with respect to images
            is pulled towards 0, where too large a value leaves D unable to tell reals from fakes.
            None if the regularizer does nothing of the kind.
        schedulable: The options that a schedule may change during training. A scheduled option is
            a 0-dim tensor.
        claims_cuda_graph: See `Generator`. Values that change during training (such as LeCam's
            moving averages) must then be tensors that are changed in place, not Python numbers.
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
        at_least(1, f"regularizer {name_of(self)}: ", every=every)
        self.every = every

    def overrides(self, hook: str) -> bool:
        """Whether this class overrides `hook`."""
        return getattr(type(self), hook) is not getattr(Regularizer, hook)

    def is_due(self, number: int) -> bool:
        """Whether it acts in the update that follows `number` earlier updates of the same side."""
        return number % self.every == 0

    @property
    def gives_penalty(self) -> bool:
        """Whether it adds a penalty to the loss, instead of only changing updates in other ways."""
        return self.overrides("forward")

    def setup(self, generator: Generator, discriminator: Discriminator) -> None:
        """Prepare the networks before the optimizers are created.

        It may be called more than once; only the first call has an effect.
        """

    def begin(self) -> None:
        """Take note of the networks' weights before the first update of a training.

        A user may have loaded weights since `setup`. It is not called when a training resumes.
        """

    def forward(self, update: Update) -> Tensor | None:
        """Return the penalty, a scalar, from what the update already computed; None for none."""
        return None

    def weights(self, update: Update) -> Tensor | None:
        """Return weights (M,) with mean 1 for the values of the update's loss; None if equal."""
        return None

    def latents(self, z: Tensor, labels: Tensor | None, score: Pass) -> Tensor:
        """Return latents (N, latent_dim) to use in place of the drawn ones.

        Args:
            z: The latents drawn from the prior.
            labels: Their labels (N,), or None.
            score: `score(z, labels)` is the output of D, frozen, for the images made from `z`.
        """
        return z

    def wrap_discriminator(
        self, inner: Pass, images: Tensor, labels: Tensor | None
    ) -> DiscriminatorOutput:
        """Return D's output for `images`; `inner(images, labels)` is the pass that is wrapped."""
        return inner(images, labels)

    def after_update(self, network: nn.Module) -> None:
        """Act on `network` after its optimizer has stepped; called without gradients."""

    def diagnose(self, value: float) -> str | None:
        """Return a sentence of advice if the mean `value` of its penalty is a sign of trouble."""
        return None
