"""What the codes of a latent do to the images: one row for each latent, one column a value."""

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
"""How far continuous codes are moved, as in InfoGAN's figures; their prior ends at 1."""


def codes_grid(
    model: LoadedGenerator, rows: int = 6, seed: int = 0, scale: int | None = None
) -> Image.Image:
    """Every value of each categorical code for some latents, then continuous codes of one latent.

    A column is a value of the categorical code in its rows, and a step from -2 to 2 in those of a
    continuous code (Chen et al., 2016, arXiv:1606.03657, figure 2).

    Args:
        rows: latents for each categorical code.
        scale: as of `grid`.

    Raises:
        DoesNotApplyError: the latent has no codes.
    """
    latent = getattr(model.generator, "latent", None)  # which an exported file has not
    codes = () if latent is None else latent.codes
    if not codes:
        raise DoesNotApplyError(
            "codes needs a latent with parts that mean something, and this one is plain noise: "
            "train with model/latent=codes (experiment=infogan_mnist)."
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
    """One latent (D,) with `columns` values of a code: (columns, D); after the last, the first."""
    copies = z.repeat(columns, 1)
    part = slice(code.start, code.start + code.size)
    if code.categorical:
        copies[:, part] = torch.eye(code.size)[torch.arange(columns) % code.size]
    else:
        copies[:, part] = torch.linspace(-REACH, REACH, columns)[:, None]
    return copies
