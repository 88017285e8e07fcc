"""What a regularizer is: a penalty, or a change to weights after an update."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from zoo.core.errors import at_least

if TYPE_CHECKING:
    from zoo.contracts.update import Update


class Regularizer(nn.Module):
    """A penalty added to one network's loss, or a change to its weights after its update.

    A subclass overrides `forward` (a penalty), `after_update` (weight clipping and the like), or
    both. `every=k` makes it lazy: it acts on every k-th update with k times its weight, so that
    its mean strength stays the same (Karras et al., 2020, arXiv:1912.04958).

    Attributes:
        update: the update it acts on.
        per_sample: it differentiates each image's score on its own, so that the network must not
            mix images (no batch norm), and it needs a double backward pass.
        differentiates: images of the step's own passes ("real", "fake") whose gradient it takes, so
            that the step makes them differentiable and nothing is computed twice.
        claims_cuda_graph: as of a `Generator`; numbers that change in training are then tensors,
            changed in place (as LeCam's averages), not attributes of Python.
    """

    update: ClassVar[Literal["discriminator", "generator"]] = "discriminator"
    per_sample: ClassVar[bool] = False
    differentiates: ClassVar[tuple[Literal["real", "fake"], ...]] = ()
    claims_cuda_graph: ClassVar[bool] = True

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        at_least(1, f"{type(self).__name__}: ", every=every)
        self.every = every

    @property
    def gives_penalty(self) -> bool:
        """Whether it adds to the loss, rather than only changing weights after the update."""
        return type(self).forward is not Regularizer.forward

    def forward(self, update: Update) -> Tensor | None:
        """The penalty as a scalar, from what the step already computed; None for none."""
        return None

    def after_update(self, network: nn.Module) -> None:
        """Called without gradients after the optimizer's step on `network`."""
