"""The context in which networks can be differentiated twice, and fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch.nn.attention import SDPBackend, sdpa_kernel

from zoo.layers.convolution import FastSecondDerivatives


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Return a context for passes that a gradient penalty differentiates.

    In it attention has a second derivative, which its fused kernels lack, and that of convolutions
    is fast, those of plugins too.
    """
    with sdpa_kernel(SDPBackend.MATH), FastSecondDerivatives():
        yield
