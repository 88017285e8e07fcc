"""What the latent space of a generator looks like: interpolations and SeFa directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from zoo.contracts.generator import Generator
from zoo.core.errors import ZooError
from zoo.inference.dataset import modes_of
from zoo.inference.images import grid
from zoo.inference.latents import class_weights_allowed, interpolate, mix_classes
from zoo.inference.load import LoadedGenerator


def interpolation_grid(
    model: LoadedGenerator,
    rows: int = 10,
    columns: int = 11,
    how: Literal["linear", "spherical"] = "spherical",
    seed: int = 0,
    truncation: float | None = None,
) -> Image.Image:
    """Every row goes from one latent to another; with classes, one class per row."""
    if model.num_classes:
        rows = min(rows, model.num_classes)
    ends, _ = model.draw(2 * rows, None, seed)
    t = torch.linspace(0, 1, columns)
    first, last = (e[:, None].expand(-1, columns, -1) for e in (ends[:rows], ends[rows:]))
    z = interpolate(first, last, t.expand(rows, -1), how).flatten(0, 1)
    y = torch.arange(rows).repeat_interleave(columns) if model.num_classes else None
    names = model.class_names[:rows] if model.num_classes else []
    return grid(
        model.generate(z, y, truncation=truncation),
        columns,
        rows=names,
        modes=modes_of(model.data),
        joined=True,
    )


def class_grid(
    model: LoadedGenerator,
    rows: int = 10,
    columns: int = 11,
    seed: int = 0,
    truncation: float | None = None,
) -> Image.Image:
    """Every row keeps a latent and goes from one class to the next, through mixed labels.

    Raises:
        ZooError: the model has fewer than two classes.
    """
    if model.num_classes < 2:
        raise ZooError("interpolation between classes needs a conditional model.")
    rows = min(rows, model.num_classes)
    z, _ = model.draw(rows, None, seed)
    first = torch.arange(rows)
    last = (first + 1) % model.num_classes
    first, last = (c.repeat_interleave(columns) for c in (first, last))
    t = torch.linspace(0, 1, columns).repeat(rows)
    weights = mix_classes(first, last, t, model.num_classes)
    with class_weights_allowed(model.generator):
        z = z.repeat_interleave(columns, 0)
        images = model.generate(z, weights, truncation=truncation)
    classes = model.class_names
    names = [f"{classes[i]} to {classes[(i + 1) % len(classes)]}" for i in range(rows)]
    return grid(images, columns, rows=names, modes=modes_of(model.data), joined=True)


SLOPES = 4
"""Latents over which the slope of a first layer is averaged where it is not linear."""


def first_layer(generator: Generator) -> Tensor:
    """The matrix A (units, latent_dim) of the layer that the latent enters first.

    Found by running the network: it is the first `nn.Linear` whose input starts with the latent,
    read off the layer's answers, so that derived weights (spectral norm) count as they act. Where
    the latent enters otherwise (normalised, in chunks, or as a map), A is the mean slope of the
    first layer that answers to it, over a few latents.

    Raises:
        ZooError: no layer with weights answers to the latent.
    """
    found: list[nn.Linear] = []
    reference = next(generator.parameters())
    z = generator.sample_latent(2, torch.Generator().manual_seed(0)).to(reference)

    def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        given = args[0]
        fits = given.dim() == 2 and given.shape[1] >= generator.latent_dim
        if not found and fits and torch.equal(given[:, : generator.latent_dim].to(z), z):
            assert isinstance(module, nn.Linear)
            found.append(module)

    layers = [m for m in generator.modules() if isinstance(m, nn.Linear)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        with torch.inference_mode():
            generator(z, _labels(generator, z))
            if not found:
                return _mean_slope(generator)
            unit = torch.eye(found[0].in_features, device=z.device)
            answers = found[0](unit) - found[0](torch.zeros_like(unit[:1]))
    finally:
        for handle in handles:
            handle.remove()
    return answers[: generator.latent_dim].T.float().cpu().clone()


def _mean_slope(generator: Generator) -> Tensor:
    """The mean slope (units, latent_dim) of the first layer with weights that answers to z."""
    random = torch.Generator().manual_seed(0)
    reference = next(generator.parameters())
    step = 0.01 * torch.eye(generator.latent_dim, device=reference.device)
    slopes: list[Tensor] = []
    for _ in range(SLOPES):
        z = generator.sample_latent(1, random).to(reference)
        answers: list[Tensor] = []

        def look(module: nn.Module, args: Any, out: Any, answers: list[Tensor] = answers) -> None:
            fits = isinstance(out, Tensor) and len(out) == generator.latent_dim + 1
            if not answers and fits and not torch.equal(out[0], out[1]):
                answers.append(out.flatten(1).float())

        layers = [
            m
            for m in generator.modules()
            if m is not generator
            and not isinstance(m, nn.Embedding)
            and any(True for _ in m.parameters(recurse=False))
        ]
        handles = [layer.register_forward_hook(look) for layer in layers]
        try:
            around = torch.cat([z, z + step])
            generator(around, _labels(generator, around))
        finally:
            for handle in handles:
                handle.remove()
        if not answers:
            raise ZooError(
                f"SeFa factorizes the layer that the latent enters, and "
                f"{type(generator).__name__} has none."
            )
        slopes.append((answers[0][1:] - answers[0][:1]).T / 0.01)
    return torch.stack(slopes).mean(0).cpu().clone()


def _labels(generator: Generator, z: Tensor) -> Tensor | None:
    if not generator.num_classes:
        return None
    return torch.zeros(len(z), dtype=torch.long, device=z.device)


def sefa(generator: Generator, k: int = 5) -> tuple[Tensor, Tensor]:
    """The `k` latent directions that move the first layer most: closed-form factorization.

    Eigenvectors of AᵀA for the largest eigenvalues, A the weight of the first layer (SeFa: Shen
    and Zhou, 2021, arXiv:2007.06600).

    Returns:
        Unit directions (k, latent_dim), their largest component positive, and eigenvalues (k,),
        largest first.

    Raises:
        ZooError: `k` is out of range, or the generator has no such layer.
    """
    if not 1 <= k <= generator.latent_dim:
        raise ZooError(f"directions={k} must be from 1 to the latent's {generator.latent_dim}.")
    weight = first_layer(generator).double()
    values, vectors = torch.linalg.eigh(weight.T @ weight)  # ascending
    chosen = vectors.T.flip(0)[:k]
    return oriented(chosen).float(), values.flip(0)[:k].float()


def oriented(directions: Tensor) -> Tensor:
    """Directions (k, D) with the sign that makes the largest component of each positive."""
    largest = directions.abs().argmax(dim=1, keepdim=True)
    return directions * directions.gather(1, largest).sign()


def sefa_grid(
    model: LoadedGenerator,
    k: int = 5,
    columns: int = 9,
    reach: float = 3.0,
    label: int | None = None,
    seed: int = 0,
) -> Image.Image:
    """Every row moves one latent along one SeFa direction, from -reach to +reach."""
    directions, _ = sefa(model.generator, k)
    z, _ = model.draw(1, None, seed)

    def along(moves: Tensor) -> Tensor:
        y = torch.full((len(moves),), label or 0) if model.num_classes else None
        return model.generate(z + moves, y)

    return directions_grid(directions, along, "direction", columns, reach, modes_of(model.data))


def directions_grid(
    directions: Tensor,
    along: Callable[[Tensor], Tensor],
    name: str,
    columns: int,
    reach: float,
    modes: Tensor | None = None,
) -> Image.Image:
    """A row for each direction (K, D), from -reach to +reach times it.

    Args:
        along: the images (N, C, H, W) of moves (N, D).
        name: of a direction, beside its number.
        modes: where images are points of the plane, the middles (K, 2) of the real modes.
    """
    amounts = torch.linspace(-reach, reach, columns)
    moves = (amounts[None, :, None] * directions[:, None]).flatten(0, 1)
    names = [f"{name} {i + 1}" for i in range(len(directions))]
    heads = [signed(amount) for amount in amounts.tolist()]
    return grid(along(moves), columns, names, heads, modes=modes, joined=True)


def signed(amount: float) -> str:
    """An amount as it stands over its column: +0.75, 0, -3."""
    rounded = round(amount, 2)
    return f"{rounded:+g}" if rounded else "0"
