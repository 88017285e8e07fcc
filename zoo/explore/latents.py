"""Exploring the latent space of a generator: interpolations and SeFa directions."""

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
from zoo.registry import name_of


def interpolation_grid(
    model: LoadedGenerator,
    rows: int = 10,
    columns: int = 11,
    how: Literal["linear", "spherical"] = "spherical",
    seed: int = 0,
    truncation: float | None = None,
) -> Image.Image:
    """Return a grid whose rows go from one latent to another, each within one class if any."""
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
    """Return a grid whose rows keep a latent and go from one class to the next in mixed labels.

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
"""The number of latents over which the Jacobian of a nonlinear first layer is averaged."""


def first_layer(generator: Generator) -> Tensor:
    """Return the matrix A (units, latent_dim) of the first layer that receives the latent.

    The layer is found by running the network: it is the first `nn.Linear` whose input starts with
    the latent. A is computed from the layer's outputs and so includes reparametrizations such as
    spectral norm. If the latent enters in another form (normalised, in chunks, or as a map), A is
    the Jacobian of the first layer that reacts to it, averaged over a few latents.

    Raises:
        ZooError: no layer with weights reacts to the latent.
    """
    matches: list[nn.Linear] = []
    reference = next(generator.parameters())
    z = generator.sample_latent(2, torch.Generator().manual_seed(0)).to(reference)

    def look(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        x = args[0]
        fits = x.dim() == 2 and x.shape[1] >= generator.latent_dim
        if not matches and fits and torch.equal(x[:, : generator.latent_dim].to(z), z):
            assert isinstance(module, nn.Linear)
            matches.append(module)

    layers = [m for m in generator.modules() if isinstance(m, nn.Linear)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        with torch.inference_mode():
            generator(z, _labels(generator, z))
            if not matches:
                return _mean_slope(generator)
            unit = torch.eye(matches[0].in_features, device=z.device)
            outputs = matches[0](unit) - matches[0](torch.zeros_like(unit[:1]))
    finally:
        for handle in handles:
            handle.remove()
    return outputs[: generator.latent_dim].T.float().cpu().clone()


def _mean_slope(generator: Generator) -> Tensor:
    """Return the mean Jacobian (units, latent_dim) of the first layer with weights that reacts.

    It is estimated from finite differences of the latent.
    """
    random = torch.Generator().manual_seed(0)
    reference = next(generator.parameters())
    step = 0.01 * torch.eye(generator.latent_dim, device=reference.device)
    slopes: list[Tensor] = []
    for _ in range(SLOPES):
        z = generator.sample_latent(1, random).to(reference)
        outputs: list[Tensor] = []

        def look(module: nn.Module, args: Any, out: Any, outputs: list[Tensor] = outputs) -> None:
            fits = isinstance(out, Tensor) and len(out) == generator.latent_dim + 1
            if not outputs and fits and not torch.equal(out[0], out[1]):
                outputs.append(out.flatten(1).float())

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
        if not outputs:
            raise ZooError(
                f"SeFa factorizes the first layer that receives the latent, but "
                f"generator {name_of(generator)} has none."
            )
        slopes.append((outputs[0][1:] - outputs[0][:1]).T / 0.01)
    return torch.stack(slopes).mean(0).cpu().clone()


def _labels(generator: Generator, z: Tensor) -> Tensor | None:
    if not generator.num_classes:
        return None
    return torch.zeros(len(z), dtype=torch.long, device=z.device)


def sefa(generator: Generator, k: int = 5) -> tuple[Tensor, Tensor]:
    """Return the `k` latent directions to which the first layer reacts most.

    This is closed-form factorization (SeFa: Shen and Zhou, 2021, arXiv:2007.06600): the directions
    are the eigenvectors of AᵀA for the largest eigenvalues, where A is the matrix of the first
    layer.

    Returns:
        Unit directions (k, latent_dim), each with its largest component positive, and eigenvalues
        (k,), largest first.

    Raises:
        ZooError: `k` is out of range, or the generator has no such layer.
    """
    if not 1 <= k <= generator.latent_dim:
        raise ZooError(
            f"directions={k} must be from 1 to {generator.latent_dim}, the size of the latent."
        )
    weight = first_layer(generator).double()
    values, vectors = torch.linalg.eigh(weight.T @ weight)  # ascending
    directions = vectors.T.flip(0)[:k]
    return oriented(directions).float(), values.flip(0)[:k].float()


def oriented(directions: Tensor) -> Tensor:
    """Flip directions (k, D) so that the largest component of each is positive."""
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
    """Return a grid whose rows move one latent along one SeFa direction, from -reach to +reach."""
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
    """Return a grid with a row for each direction, from -reach to +reach times that direction.

    Args:
        directions: the directions (K, D).
        along: a function from moves (N, D) to images (N, C, H, W).
        name: the name of a direction, to which its number is added.
        columns: the number of images in a row.
        reach: the largest multiple of a direction.
        modes: the centres (M, 2) of the real modes if images are points in the plane; else None.
    """
    amounts = torch.linspace(-reach, reach, columns)
    moves = (amounts[None, :, None] * directions[:, None]).flatten(0, 1)
    names = [f"{name} {i + 1}" for i in range(len(directions))]
    heads = [signed(amount) for amount in amounts.tolist()]
    return grid(along(moves), columns, names, heads, modes=modes, joined=True)


def signed(amount: float) -> str:
    """Format an amount for the heading of a column: +0.75, 0, -3."""
    rounded = round(amount, 2)
    return f"{rounded:+g}" if rounded else "0"
