"""Truncation: latents, or styles, nearer to the middle than they were drawn.

Without a mapping it is a threshold on normal latents in standard deviations; generators with styles
move these to their mean by a factor psi.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.contracts.latent import Latent
from zoo.core.errors import ZooError
from zoo.inference.exported import ExportedGenerator
from zoo.registry import create


def prior(generator: Generator) -> Latent | None:
    """Where its latents come from: N(0, I) unless it says otherwise; None where it draws them."""
    if type(generator).sample_latent is not Generator.sample_latent:
        return None
    if generator.latent is None:
        return create("latent", "normal", dim=generator.latent_dim)
    return generator.latent


def moves_styles(generator: Generator) -> bool:
    """Whether truncation is a factor on styles rather than a threshold on latents."""
    if isinstance(generator, ExportedGenerator):
        return generator.moves_styles
    return type(generator).truncate is not Generator.truncate


def can_truncate(generator: Generator) -> bool:
    """Whether there is a truncation of it, by either meaning."""
    if isinstance(generator, ExportedGenerator):
        return generator.takes_truncation
    latent = prior(generator)
    known = latent is not None and type(latent).truncate is not Latent.truncate
    return moves_styles(generator) or known


def check_truncation(generator: Generator, truncation: float | None) -> None:
    """Refuse a truncation that is out of range, or a prior that it is not defined for.

    Raises:
        ZooError: `truncation` is NaN, no factor from 0 to 1 of styles or no threshold above 0 of
            latents, or the generator's latents cannot be truncated.
    """
    if truncation is None:
        return
    if moves_styles(generator):
        if not 0 <= truncation <= 1:
            raise ZooError(
                f"truncation={truncation} must be from 0 to 1: this generator moves styles to "
                "their mean by this factor (0.7 is usual, 0 the mean, 1 none)."
            )
        return
    if not truncation > 0:
        raise ZooError(
            f"truncation={truncation} must be above 0: it is the threshold in standard deviations "
            "(2 is mild, 0.5 strong; none without it)."
        )
    if can_truncate(generator):
        return
    latent = prior(generator)
    if latent is not None:
        latent.truncate(torch.zeros(1, latent.dim), truncation)  # which says why not
    raise ZooError(
        f"truncation={truncation} is a threshold on latents, but {type(generator).__name__} draws "
        "its latents from a prior of its own: leave truncation out."
    )


def images_of(
    generator: Generator, z: Tensor, y: Tensor | None = None, truncation: float | None = None
) -> Tensor:
    """Images (N, C, H, W) of latents and labels, truncated by a value that was checked."""
    if truncation is None:
        return generator(z, y)
    if isinstance(generator, ExportedGenerator):
        return generator.truncated(z, y, truncation)
    latent = None if moves_styles(generator) else prior(generator)
    return truncated_images(generator, latent, z, y, truncation)


def truncated_images(
    generator: Generator, latent: Latent | None, z: Tensor, y: Tensor | None, amount: Any
) -> Tensor:
    """Images of latents truncated by their prior, or of truncated styles where `latent` is None.

    Args:
        amount: a number, or in exported programs a scalar tensor.
    """
    if latent is None:
        return generator.synthesize(generator.truncate(z, y, amount), y)
    return generator(latent.truncate(z, amount), y)
