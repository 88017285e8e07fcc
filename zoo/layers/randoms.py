"""Two passes with the same random numbers, and slopes from their difference."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from zoo.core.torch_internals import DispatchMode, outputs_and_mutation


class SameRandoms(DispatchMode):
    """Every time it is entered, what is computed within draws the same random numbers.

    The first time they are drawn and kept, later they are handed out in the same order: what a
    network or an augmentation does beside must not change. No state of a generator is read or set,
    which would wait for the device and could not be captured in a CUDA graph. Dropout within a
    fused kernel, which gives no mask of its own, is not covered.

    Example:
        >>> randoms = SameRandoms()
        >>> with randoms:
        ...     first = torch.rand(3)
        >>> with randoms:
        ...     assert torch.equal(torch.rand(3), first)
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] = []
        self._place: int | None = None

    def __enter__(self) -> SameRandoms:
        self._place = None if not self._kept else 0
        return super().__enter__()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        if self._place is None:
            drawn = func(*args, **kwargs)
            if isinstance(drawn, Tensor):  # attention has the tag too, and gives several tensors
                self._kept.append(drawn.clone())  # what draws may change its numbers in place
            return drawn
        outputs, in_place = outputs_and_mutation(func)
        if outputs > 1:
            return func(*args, **kwargs)
        kept = self._kept[self._place]
        self._place += 1
        # In place (`normal_`) its first argument is what it fills; else it makes a new tensor.
        return args[0].copy_(kept) if in_place else kept.clone()


def slopes(
    score: Callable[[Tensor], Tensor],
    images: Tensor,
    distance: float,
    known: tuple[Tensor, AbstractContextManager[object]] | None = None,
) -> Tensor:
    """(D(x + h e) - D(x)) / h along random directions e ~ N(0, I), one for each score.

    For a small distance h it is <grad D(x), e>, whose mean square over e is |grad D(x)|^2. Both
    passes draw the same random numbers, and both carry a graph to D.

    Args:
        score: D's scores (M,) of images.
        images: (N, C, H, W), taken as constants.
        distance: h.
        known: the scores of the images, where D gave them already, and what draws the random
            numbers of that pass again.
    """
    images = images.detach()
    direction = torch.randn_like(images)
    if known is None:
        same = SameRandoms()
        with same:
            known = score(images), same
    here, again = known
    with again:
        there = score(images + distance * direction)
    return (there - here) / distance
