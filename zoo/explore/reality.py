"""Comparing generated with real images: nearest neighbours, t-SNE, spectra, and scores of D."""

from __future__ import annotations

import torch
from PIL import Image
from torch import Tensor

from zoo.core.errors import ZooError
from zoo.core.extras import require
from zoo.data.pixels import POINT, to_float
from zoo.inference.images import grid
from zoo.inference.load import LoadedGenerator
from zoo.metrics.distances import exact


def nearest(queries: Tensor, among: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the distances and rows (Q, k) of the `k` vectors of `among` nearest to each query.

    Distances are Euclidean.
    """
    if not 1 <= k <= len(among):
        raise ZooError(f"neighbours={k} must be from 1 to {len(among)}, the number of real images.")
    distances, rows = [], []
    for block in queries.split(256):
        closest = torch.cdist(exact(block.float()), exact(among.float())).topk(k, largest=False)
        distances.append(closest.values.float())
        rows.append(closest.indices)
    return torch.cat(distances), torch.cat(rows)


def neighbour_grid(
    fake: Tensor,
    real: Tensor,
    fake_vectors: Tensor,
    real_vectors: Tensor,
    k: int = 7,
    modes: Tensor | None = None,
) -> tuple[Image.Image, Tensor]:
    """Return a grid whose rows are a generated image and the real images nearest to it.

    Args:
        fake, real: images (N, C, H, W) and (M, C, H, W), uint8, or float for points in the plane.
        fake_vectors, real_vectors: the vectors (N, D) and (M, D) whose distances are measured.
        k: the number of real images in a row.
        modes: for points, the centres (K, 2) of the real modes; else None.

    Returns:
        The grid, and the distances (N, k).
    """
    distances, rows = nearest(fake_vectors, real_vectors, k)
    lines = torch.cat([fake[:, None], real[rows]], dim=1).flatten(0, 1)
    are_images = fake.shape[1:] != POINT  # real points are marked by a colour, not by columns
    heads = ["generated", *(f"real {i + 1}" if are_images else "nearest real" for i in range(k))]
    return grid(lines, k + 1, heads=heads, modes=modes), distances


def tsne(vectors: Tensor, seed: int = 0, perplexity: float = 30.0) -> Tensor:
    """Map vectors (N, D) to points (N, 2) in the plane by t-SNE (van der Maaten and Hinton, 2008).

    Raises:
        ZooError: scikit-learn is missing, or there are too few vectors for the perplexity.
    """
    require("explore", "t-SNE", "sklearn")
    from sklearn.manifold import TSNE

    if len(vectors) <= perplexity:
        raise ZooError(f"t-SNE at perplexity {perplexity:g} needs more than {len(vectors)} images.")
    placed = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**32).fit_transform(
        vectors.float().numpy()
    )
    return torch.from_numpy(placed)


def spectrum(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the azimuthally averaged power spectrum of images, which generators often get wrong.

    It is |FFT|² of each image (with its channels averaged to grey), averaged over images and then
    over rings of equal spatial frequency (Durall et al., 2020, arXiv:2003.01826).

    Args:
        images: uint8 (N, C, H, W).

    Returns:
        Frequencies in cycles per pixel and power, each (S // 2,) for the shorter side S, without
        the constant component.

    Raises:
        ZooError: the images have a side of one pixel and therefore no frequencies.
    """
    height, width = images.shape[-2:]
    size = min(height, width)
    if size < 2:
        raise ZooError(
            f"images of {height}×{width} pixels have no frequencies: 2×2 or more are needed."
        )
    gray = to_float(images).mean(dim=1)
    power = torch.fft.fft2(gray).abs().square().mean(dim=0) / (height * width)
    down, across = torch.fft.fftfreq(height) * size, torch.fft.fftfreq(width) * size
    radius = torch.hypot(down[:, None], across[None, :]).round().long()
    rings = torch.arange(1, size // 2 + 1)
    mean = torch.stack([power[radius == r].mean() for r in rings.tolist()])
    return rings / size, mean


def discriminator_scores(
    model: LoadedGenerator,
    real: Tensor,
    real_labels: Tensor | None,
    fake: Tensor,
    fake_labels: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return D's scores of uint8 images, (N,) for real and (M,) for generated ones.

    Real and generated images are scored in separate batches.
    """
    return (
        model.scores(to_float(real), real_labels, batch_statistics=True),
        model.scores(to_float(fake), fake_labels, batch_statistics=True),
    )
