"""Grids that show how the codes of a latent change the images."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from zoo.contracts.latent import Code
from zoo.core.errors import DoesNotApplyError
from zoo.inference.dataset import modes_of
from zoo.inference.images import grid
from zoo.inference.load import LoadedGenerator

REACH = 2.0
"""The range of continuous codes in grids, as in InfoGAN's figures; their prior ends at 1."""


def codes_grid(
    model: LoadedGenerator, rows: int = 6, seed: int = 0, scale: int | None = None
) -> Image.Image:
    """Return a grid of images in which each row varies one code of a latent.

    Each categorical code has several rows, one per latent, whose columns are the values of the
    code. Each continuous code has one row, whose columns go from -2 to 2 (Chen et al., 2016,
    arXiv:1606.03657, figure 2).

    Args:
        model: the model.
        rows: the number of latents for each categorical code.
        seed: the seed of the latents.
        scale: see `grid`.

    Raises:
        DoesNotApplyError: the latent has no codes.
    """
    latent = getattr(model.generator, "latent", None)  # exported generators lack it
    codes = () if latent is None else latent.codes
    if not codes:
        raise DoesNotApplyError(
            "codes needs a latent with codes, but this one is plain noise: train with "
            "model/latent=codes (experiment=infogan_mnist)."
        )
    columns = max([code.size for code in codes if code.categorical], default=10)
    drawn, y = model.draw(rows, None, seed)
    latents: list[Tensor] = []
    labels: list[Tensor] = []
    names: list[str] = []
    for number, code in enumerate(codes, 1):
        for row in range(rows if code.categorical else 1):
            latents.append(moved(drawn[row], code, columns))
            labels += [] if y is None else [y[row].expand(columns)]
            names.append(f"code {number}" if row == 0 else "")
    images = model.generate(torch.cat(latents), torch.cat(labels) if labels else None)
    return grid(images, columns, rows=names, scale=scale, modes=modes_of(model.data))


def moved(z: Tensor, code: Code, columns: int) -> Tensor:
    """Return copies (columns, D) of one latent (D,) with different values of a code.

    If there are more columns than values of a categorical code, the values repeat.
    """
    copies = z.repeat(columns, 1)
    part = slice(code.start, code.start + code.size)
    if code.categorical:
        copies[:, part] = torch.eye(code.size)[torch.arange(columns) % code.size]
    else:
        copies[:, part] = torch.linspace(-REACH, REACH, columns)[:, None]
    return copies
