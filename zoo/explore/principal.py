"""Principal directions of a latent space (GANSpace), an alternative to SeFa directions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.core.random import seeded
from zoo.explore.latents import directions_grid, first_layer, oriented
from zoo.inference.dataset import modes_of
from zoo.inference.load import LoadedGenerator

SAMPLES = 20_000
"""The number of latents from which components are estimated."""
_BLOCK = 1000


class Principal(NamedTuple):
    """The principal directions of a generator.

    Attributes:
        steps: moves (k, D), each of one standard deviation along its component, with the largest
            entry positive.
        deviations: the standard deviations (k,) of the components, largest first.
        space: the space of the moves: `w` for styles, or `z` if the generator has no styles.
    """

    steps: Tensor
    deviations: Tensor
    space: str


@torch.no_grad()
def principal(generator: Generator, k: int = 5, samples: int = SAMPLES, seed: int = 0) -> Principal:
    """Return the `k` directions along which styles, or the first layer's activations, vary most.

    If the generator maps latents to styles, these are the principal components of the styles of
    random latents and labels; if not, those of the first layer's activations, regressed to the
    latents (GANSpace: Härkönen et al., 2020, arXiv:2004.02546).

    Args:
        generator: the generator.
        k: the number of directions.
        samples: the number of random latents.
        seed: the seed of the latents and labels.

    Raises:
        ZooError: `k` is out of range, or no layer with weights reacts to the latent.
    """
    random = seeded(seed)
    reference = next(generator.parameters())
    z = generator.sample_latent(samples, random).to(reference)
    if generator.has_mapping:
        points = _styles(generator, z, random).double()
    else:  # z Rᵀ has the same distances as the activations z Aᵀ = z Rᵀ Qᵀ, in fewer dimensions
        weight = first_layer(generator).double()
        points = z.double().cpu() @ torch.linalg.qr(weight, mode="r").R.T
    if not 1 <= k <= points.shape[1]:
        raise ZooError(
            f"directions={k} must be from 1 to {points.shape[1]}, the dimensions of the space."
        )
    points = points - points.mean(0)
    values, vectors = torch.linalg.eigh(points.T @ points / len(points))  # ascending
    deviations = values.flip(0)[:k].clamp_min(0).sqrt()
    components = vectors.T.flip(0)[:k]
    if generator.has_mapping:
        steps = deviations[:, None] * components
    else:
        coordinates = points @ components.T
        back = torch.linalg.lstsq(coordinates, z.double().cpu() - z.double().cpu().mean(0)).solution
        steps = deviations[:, None] * back
    return Principal(
        oriented(steps).float(), deviations.float(), "w" if generator.has_mapping else "z"
    )


def _styles(generator: Generator, z: Tensor, random: torch.Generator) -> Tensor:
    """Return one style (N, W) for each latent, with random labels."""
    styles = []
    for block in z.split(_BLOCK):
        y = None
        if generator.num_classes:
            y = torch.randint(generator.num_classes, (len(block),), generator=random).to(z.device)
        w = generator.map(block, y)
        styles.append((w[:, 0] if w.dim() == 3 else w).cpu())
    return torch.cat(styles)


def principal_grid(
    model: LoadedGenerator,
    k: int = 5,
    columns: int = 9,
    reach: float = 3.0,
    label: int | None = None,
    seed: int = 0,
) -> Image.Image:
    """Return a grid whose rows move a latent along a principal direction, from -reach to +reach."""
    generator = model.generator
    components = principal(generator, k, seed=seed)
    z, _ = model.draw(1, None, seed)
    y = torch.full((1,), label or 0) if model.num_classes else None

    def along(moves: Tensor) -> Tensor:
        if components.space == "w":
            return _of_styles(model, z, y, moves)
        return model.generate(z + moves, None if y is None else y.expand(len(moves)))

    modes = modes_of(model.data)
    return directions_grid(components.steps, along, "component", columns, reach, modes)


@torch.no_grad()
def _of_styles(model: LoadedGenerator, z: Tensor, y: Tensor | None, moves: Tensor) -> Tensor:
    """Return the images of one latent whose style is shifted by each of `moves` (N, W)."""
    generator, device = model.generator, model.device
    labels = None if y is None else y.to(device)
    w = generator.map(z.to(device), labels)
    images = []
    for move in moves.to(device):
        moved = w + (move if w.dim() == 2 else move[None, None])
        images.append(generator.synthesize(moved, labels).float().clamp(-1, 1).cpu())
    return torch.cat(images)
