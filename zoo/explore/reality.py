"""Generated images held against real ones: neighbours, t-SNE, spectra, the scores of D."""

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
    """Euclidean distances and rows (Q, k) of the `k` vectors of `among` nearest to each query."""
    if not 1 <= k <= len(among):
        raise ZooError(f"neighbours={k} must be from 1 to the {len(among)} real images.")
    distances, rows = [], []
    for block in queries.split(256):
        found = torch.cdist(exact(block.float()), exact(among.float())).topk(k, largest=False)
        distances.append(found.values.float())
        rows.append(found.indices)
    return torch.cat(distances), torch.cat(rows)


def neighbour_grid(
    fake: Tensor,
    real: Tensor,
    fake_vectors: Tensor,
    real_vectors: Tensor,
    k: int = 7,
    modes: Tensor | None = None,
) -> tuple[Image.Image, Tensor]:
    """Each row: a generated image, then the real ones nearest to it.

    Args:
        fake, real: images (N, C, H, W) and (M, C, H, W), uint8 but for points of the plane.
        fake_vectors, real_vectors: what distances are measured on, (N, D) and (M, D).
        modes: for points, the middles (K, 2) of the real modes.

    Returns:
        The picture and the distances (N, k).
    """
    distances, rows = nearest(fake_vectors, real_vectors, k)
    lines = torch.cat([fake[:, None], real[rows]], dim=1).flatten(0, 1)
    apart = fake.shape[1:] != POINT  # points have a colour for the real ones, not columns
    heads = ["made", *(f"real {i + 1}" if apart else "nearest real" for i in range(k))]
    return grid(lines, k + 1, heads=heads, modes=modes), distances


def tsne(vectors: Tensor, seed: int = 0, perplexity: float = 30.0) -> Tensor:
    """A map of vectors (N, D) onto the plane, (N, 2): t-SNE (van der Maaten and Hinton, 2008).

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
    """The azimuthally averaged power spectrum of images: what generators tend to get wrong.

    |FFT|² of each image (its channels averaged to gray), averaged over images and then over rings
    of equal spatial frequency (Durall et al., 2020, arXiv:2003.01826).

    Args:
        images: uint8 (N, C, H, W).

    Returns:
        Frequencies in cycles per pixel and power, each (S // 2,) for the shorter side S, without
        the constant.

    Raises:
        ZooError: images of one pixel a side, which have no frequency but the constant.
    """
    height, width = images.shape[-2:]
    size = min(height, width)
    if size < 2:
        raise ZooError(f"images of {height}×{width} pixels have no frequencies; 2×2 have.")
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
    """The scores that D gives uint8 images, each kind in its own batches: (N,) real, (M,) fake."""
    return (
        model.scores(to_float(real), real_labels, batch_statistics=True),
        model.scores(to_float(fake), fake_labels, batch_statistics=True),
    )
