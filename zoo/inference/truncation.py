"""Truncation: move latents or styles closer to their mean, for better but less varied images.

For generators without a mapping network it is a threshold for normal latents, in standard
deviations. Generators with styles move them to their mean by a factor psi.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.contracts.latent import Latent
from zoo.core.errors import ZooError
from zoo.inference.exported import ExportedGenerator
from zoo.registry import create, name_of


def prior(generator: Generator) -> Latent | None:
    """Return the prior of a generator's latents, by default N(0, I); None if it draws its own."""
    if type(generator).sample_latent is not Generator.sample_latent:
        return None
    if generator.latent is None:
        return create("latent", "normal", dim=generator.latent_dim)
    return generator.latent


def moves_styles(generator: Generator) -> bool:
    """Whether truncation is a factor for styles rather than a threshold for latents."""
    if isinstance(generator, ExportedGenerator):
        return generator.moves_styles
    return type(generator).truncate is not Generator.truncate


def can_truncate(generator: Generator) -> bool:
    """Whether the generator supports truncation, of styles or of latents."""
    if isinstance(generator, ExportedGenerator):
        return generator.takes_truncation
    latent = prior(generator)
    truncates_latents = latent is not None and type(latent).truncate is not Latent.truncate
    return moves_styles(generator) or truncates_latents


def check_truncation(generator: Generator, truncation: float | None) -> None:
    """Refuse a truncation that is out of range, or that is not defined for the generator's prior.

    Raises:
        ZooError: `truncation` is not a factor from 0 to 1 for styles, or a threshold above 0 for
            latents, or the generator's latents cannot be truncated.
    """
    if truncation is None:
        return
    if moves_styles(generator):
        if not 0 <= truncation <= 1:
            raise ZooError(
                f"truncation={truncation} must be from 0 to 1: it is the factor by which this "
                "generator scales the distance of styles to their mean (0 is the mean, 0.7 is "
                "usual, 1 is no truncation)."
            )
        return
    if not truncation > 0:
        raise ZooError(
            f"truncation={truncation} must be above 0: it is the threshold in standard deviations "
            "(2 is mild, 0.5 strong; leave it out for no truncation)."
        )
    if can_truncate(generator):
        return
    latent = prior(generator)
    if latent is not None:
        latent.truncate(torch.zeros(1, latent.dim), truncation)  # raises an error that says why
    raise ZooError(
        f"truncation={truncation} is a threshold for latents, but generator {name_of(generator)} "
        "draws its latents from a prior of its own: leave truncation out."
    )


def images_of(
    generator: Generator, z: Tensor, y: Tensor | None = None, truncation: float | None = None
) -> Tensor:
    """Generate images (N, C, H, W) from latents and labels, with a truncation that was checked."""
    if truncation is None:
        return generator(z, y)
    if isinstance(generator, ExportedGenerator):
        return generator.truncated(z, y, truncation)
    latent = None if moves_styles(generator) else prior(generator)
    return truncated_images(generator, latent, z, y, truncation)


def truncated_images(
    generator: Generator, latent: Latent | None, z: Tensor, y: Tensor | None, amount: Any
) -> Tensor:
    """Generate images with truncation.

    Args:
        generator: the generator.
        latent: the prior, which truncates the latents; None to truncate styles instead.
        z: latents (N, latent_dim).
        y: labels (N,), or None.
        amount: the threshold or factor: a number, or a scalar tensor in exported programs.
    """
    if latent is None:
        return generator.synthesize(generator.truncate(z, y, amount), y)
    return generator(latent.truncate(z, amount), y)
