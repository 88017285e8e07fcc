"""Repeated passes with the same random numbers, and slopes from their differences."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from zoo.core.torch_internals import DispatchMode, outputs_and_mutation


class SameRandoms(DispatchMode):
    """A context in which random numbers are the same every time it is entered.

    They are drawn and stored the first time, then handed out in the same order, so a network or an
    augmentation must draw the same sequence of numbers each time. No generator state is read or
    set, since that would wait for the device and could not be captured in a CUDA graph. Dropout
    inside a fused kernel, which does not return its mask, is not covered.

    Example:
        >>> randoms = SameRandoms()
        >>> with randoms:
        ...     first = torch.rand(3)
        >>> with randoms:
        ...     assert torch.equal(torch.rand(3), first)
    """

    def __init__(self) -> None:
        super().__init__()
        self._drawn: list[Tensor] = []
        self._next: int | None = None  # None while drawing for the first time

    def __enter__(self) -> SameRandoms:
        self._next = 0 if self._drawn else None
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
        if self._next is None:
            drawn = func(*args, **kwargs)
            if isinstance(drawn, Tensor):  # attention has the tag too, but returns a tuple
                self._drawn.append(drawn.clone())  # the caller may change `drawn` in place
            return drawn
        outputs, in_place = outputs_and_mutation(func)
        if outputs > 1:
            return func(*args, **kwargs)
        stored = self._drawn[self._next]
        self._next += 1
        # In-place operations (`normal_`) fill their first argument; others return a new tensor.
        return args[0].copy_(stored) if in_place else stored.clone()


def slopes(
    score: Callable[[Tensor], Tensor],
    images: Tensor,
    distance: float,
    first_pass: tuple[Tensor, AbstractContextManager[object]] | None = None,
) -> Tensor:
    """Return (D(x + h e) - D(x)) / h along random directions e ~ N(0, I), one for each score.

    For a small distance h this is <grad D(x), e>, whose mean square over e is |grad D(x)|^2. Both
    passes use the same random numbers, and both carry a graph to D.

    Args:
        score: computes D's scores (M,) of images.
        images: x, (N, C, H, W), taken as constants.
        distance: h.
        first_pass: D(x), if already computed, and a context that repeats the random numbers of that
            pass; None to compute D(x) here.
    """
    images = images.detach()
    direction = torch.randn_like(images)
    if first_pass is None:
        randoms = SameRandoms()
        with randoms:
            first_pass = score(images), randoms
    scores, same_randoms = first_pass
    with same_randoms:
        moved_scores = score(images + distance * direction)
    return (moved_scores - scores) / distance
