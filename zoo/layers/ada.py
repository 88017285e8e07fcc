"""The transforms of adaptive discriminator augmentation, group by group.

Paper: Karras et al. (2020), arXiv:2006.06676, appendix B.

Every function takes images (N, C, H, W), in fp32 at least, and a function that draws gates; random
numbers are drawn per image. Images whose gate is closed use a transform's neutral value, so that
shapes and work do not depend on the probability.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.layers.pixels import gather_pixels, mirrored
from zoo.layers.sampling import read_at

Gate = Callable[[str], Tensor]
"""Draws which images the transform of a given name changes, (N,) bool."""

SHIFT = 0.125
STRETCH = 0.2
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0
NOISE, CUTOUT = 0.1, 0.5
BAND_POWERS = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""Expected share of each octave in the power of natural images, the lowest octave first."""


def blit(x: Tensor, on: Gate) -> Tensor:
    """Flip, turn by multiples of 90 degrees and shift by whole pixels, exactly and in one gather.

    Oblong images are turned by 180 degrees only; edges are reflected.
    """
    n, _, height, width = x.shape
    device = x.device
    flips = on("xflip") & (torch.rand(n, device=device) < 0.5)
    turns = torch.randint(0, 4, (n,), device=device)
    if height != width:
        turns = turns // 2 * 2
    turns = torch.where(on("rotate90"), turns, 0)
    shifts = (torch.rand(2, n, device=device) * 2 - 1) * SHIFT
    shifts = torch.where(on("xint"), shifts, 0.0)
    # Map output pixels back to input pixels: undo the shift, then the turn, then the flip.
    rows = torch.arange(height, device=device) - (shifts[0, :, None] * height).round().long()
    columns = torch.arange(width, device=device) - (shifts[1, :, None] * width).round().long()
    rows, columns = torch.broadcast_tensors(
        mirrored(rows, height)[:, :, None], mirrored(columns, width)[:, None, :]
    )
    quarter = (turns % 2 == 1)[:, None, None]
    rows, columns = (
        torch.where(quarter, columns, rows),
        torch.where(quarter, height - 1 - rows, columns),
    )
    half = (turns >= 2)[:, None, None]
    rows = torch.where(half, height - 1 - rows, rows)
    columns = torch.where(half, width - 1 - columns, columns)
    columns = torch.where(flips[:, None, None], width - 1 - columns, columns)
    return gather_pixels(x, rows, columns)


def geometry(x: Tensor, on: Gate) -> Tensor:
    """Scale, rotate, stretch, rotate again and shift by fractions of a pixel, as one affine map.

    It is one bilinear resampling with reflected edges. The authors resample through a wavelet at
    twice the size, which costs many times more and mainly affects how sharp images stay.
    """
    n, _, height, width = x.shape

    def normal(deviation: float, *shape: int) -> Tensor:
        return torch.randn(*shape, n, device=x.device, dtype=x.dtype) * deviation

    zero, one = x.new_zeros(n), x.new_ones(n)
    gates = {name: on(name) for name in ("scale", "aniso", "xfrac")}
    turns = [on("rotate") for _ in range(2)]
    # The inverses of the maps, on centred pixel coordinates (x, y), composed in the order above.
    scale = torch.where(gates["scale"], torch.exp2(-normal(STRETCH)), 1.0)
    inverse = _matrix((scale, zero, zero), (zero, scale, zero)) @ _turn(turns[0], x)
    stretch = torch.where(gates["aniso"], torch.exp2(-normal(STRETCH)), 1.0)
    inverse = inverse @ _matrix((stretch, zero, zero), (zero, 1 / stretch, zero))
    inverse = inverse @ _turn(turns[1], x)
    shift = torch.where(gates["xfrac"], normal(SHIFT, 2), 0.0)
    inverse = inverse @ _matrix((one, zero, -shift[0] * width), (zero, one, -shift[1] * height))
    moved = _resample(x, inverse)
    changed = torch.stack((*gates.values(), *turns)).any(0)
    return torch.where(changed[:, None, None, None], moved, x)


def _resample(x: Tensor, inverse: Tensor) -> Tensor:
    """Return images whose pixel at centred coordinates q is that of `x` at `inverse` q.

    Args:
        x: images (N, C, H, W).
        inverse: affine maps (N, 3, 3).
    """
    # In the coordinates of `read_at`, the centres of the outermost pixels are at -1 and 1.
    across, down = (max(size - 1, 1) / 2 for size in (x.shape[3], x.shape[2]))
    (a, b, c), (d, e, f) = (row.unbind(-1) for row in inverse[:, :2].unbind(1))
    rows = ((a, b * (down / across), c / across), (d * (across / down), e, f / down))
    theta = torch.stack([torch.stack(row, -1) for row in rows], 1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=True)
    return read_at(x, grid)


def _matrix(first: tuple[Tensor, ...], second: tuple[Tensor, ...]) -> Tensor:
    """Return affine maps (N, 3, 3) of the plane, given their first two rows."""
    zero, one = torch.zeros_like(first[0]), torch.ones_like(first[0])
    rows = [torch.stack(row, -1) for row in (first, second, (zero, zero, one))]
    return torch.stack(rows, -2)


def _turn(gate: Tensor, x: Tensor) -> Tensor:
    """Draw rotations (N, 3, 3) by any angle where the gate is open."""
    angle = (torch.rand(len(x), device=x.device, dtype=x.dtype) * 2 - 1) * math.pi
    angle = torch.where(gate, angle, 0.0)
    zero = torch.zeros_like(angle)
    return _matrix((angle.cos(), angle.sin(), zero), (-angle.sin(), angle.cos(), zero))


def color(x: Tensor, on: Gate) -> Tensor:
    """Change brightness, contrast, luma, hue and saturation, as one matrix on the channels.

    Hue applies to RGB images only. On a single channel, saturation has no effect and the luma flip
    negates the image.
    """
    n, channels = x.shape[:2]

    def normal(deviation: float) -> Tensor:
        return torch.randn(n, device=x.device, dtype=x.dtype) * deviation

    shift = torch.where(on("brightness"), normal(BRIGHTNESS), 0.0)
    factor = torch.where(on("contrast"), torch.exp2(normal(CONTRAST)), 1.0)
    flip = on("lumaflip") & (torch.rand(n, device=x.device) < 0.5)
    linear = factor[:, None, None] * _eye(x)
    offset = (factor * shift)[:, None].expand(n, channels)
    step = luma_flip(flip, x)
    if channels == 3:
        angle = (torch.rand(n, device=x.device, dtype=x.dtype) * 2 - 1) * math.pi
        step = hue(torch.where(on("hue"), angle, 0.0)) @ step
    colors = torch.where(on("saturation"), torch.exp2(normal(SATURATION)), 1.0)
    step = saturation(colors, x) @ step
    return recolor(x, step @ linear, step @ offset[:, :, None])


def recolor(x: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
    """Multiply the channels by matrices (N, C, C), then add offsets (N, C, 1)."""
    return (linear @ x.flatten(2) + offset).view_as(x)


def _eye(x: Tensor) -> Tensor:
    return torch.eye(x.shape[1], device=x.device, dtype=x.dtype)


def _luma(x: Tensor) -> Tensor:
    """Return the projection v v^T (C, C) onto the unit vector v of the grey axis."""
    return torch.full_like(_eye(x), 1 / x.shape[1])


def luma_flip(flip: Tensor, x: Tensor) -> Tensor:
    """Return I - 2 v v^T where `flip` (N,) is true, else I: (N, C, C)."""
    return _eye(x) - 2 * _luma(x) * flip[:, None, None]


def saturation(factor: Tensor, x: Tensor) -> Tensor:
    """Return v v^T + (I - v v^T) factor for factors (N,): (N, C, C)."""
    return _luma(x) + (_eye(x) - _luma(x)) * factor[:, None, None]


def hue(angle: Tensor) -> Tensor:
    """Return rotations (N, 3, 3) of RGB about grey by angles (N,), by Rodrigues' formula."""
    level, slope = (1 - angle.cos()) / 3, angle.sin() / math.sqrt(3)
    same, down, up = angle.cos() + level, level - slope, level + slope
    rows = ((same, down, up), (up, same, down), (down, up, same))
    return torch.stack([torch.stack(row, -1) for row in rows], 1)


def filter_bank() -> Tensor:
    """Return four octave bands of 43 taps (4, 43), the lowest first, whose sum is the unit impulse.

    With the power response L = |H|^2 / 2 of the sym2 low-pass and L' = 1 - L, the bands are L(w)
    L(2w) L(4w), L(w) L(2w) L'(4w), L(w) L'(2w) and L'(w).
    """
    root = math.sqrt(3)
    low = torch.tensor([1 + root, 3 + root, 3 - root, 1 - root], dtype=torch.float64)
    low = low / (4 * math.sqrt(2))
    power = _product(low, low.flip(0)) / 2
    bands, rest = [], torch.ones(1, dtype=torch.float64)
    for octave in range(3):
        spread = torch.zeros(6 * 2**octave + 1, dtype=torch.float64)
        spread[:: 2**octave] = power
        impulse = torch.zeros_like(spread)
        impulse[len(spread) // 2] = 1
        bands.append(_product(rest, impulse - spread))
        rest = _product(rest, spread)
    longest = len(rest)
    padded = [F.pad(b, ((longest - len(b)) // 2,) * 2) for b in (rest, *reversed(bands))]
    return torch.stack(padded)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Return the convolution of two filters, the product of their responses."""
    return F.conv1d(a[None, None], b.flip(0)[None, None], padding=len(b) - 1)[0, 0]


def band_gains(drawn: Tensor) -> Tensor:
    """Return the gains of the bands, renormalised so that the expected power stays the same.

    Args:
        drawn: (N, 4), the gain drawn for each band; 1 where its gate is closed.
    """
    size = torch.ones_like(drawn[:, :1])
    for power, gain in zip(BAND_POWERS, drawn.split(1, dim=1), strict=True):
        size = size * (power * gain.square() + (1 - power)).sqrt()
    return drawn / size


class BandFilter(nn.Module):
    """Amplifies or damps each octave band; edges are reflected."""

    bank: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", filter_bank(), persistent=False)

    def forward(self, x: Tensor, on: Gate) -> Tensor:
        n, channels, height, width = x.shape
        drawn = torch.exp2(torch.randn(n, 4, device=x.device, dtype=x.dtype))
        drawn = torch.where(torch.stack([on("bands") for _ in range(4)], 1), drawn, 1.0)
        kernels = band_gains(drawn) @ self.bank.to(x.dtype)
        taps = kernels.repeat_interleave(channels, 0)[:, None, None]
        reach = taps.shape[-1] // 2
        rows = mirrored(torch.arange(-reach, height + reach, device=x.device), height)
        columns = mirrored(torch.arange(-reach, width + reach, device=x.device), width)
        padded = x[:, :, rows][:, :, :, columns].reshape(1, n * channels, len(rows), len(columns))
        out = F.conv2d(padded, taps, groups=n * channels)
        return F.conv2d(out, taps.transpose(2, 3), groups=n * channels).view_as(x)


def noise(x: Tensor, on: Gate) -> Tensor:
    """Add Gaussian noise, of a strength that is drawn per image."""
    sigma = (torch.randn(len(x), device=x.device, dtype=x.dtype) * NOISE).abs()
    sigma = torch.where(on("noise"), sigma, 0.0)
    return x + sigma[:, None, None, None] * torch.randn_like(x)


def cutout(x: Tensor, on: Gate) -> Tensor:
    """Set a square of half the side, centred anywhere in the image, to 0."""
    n, _, height, width = x.shape
    gate = on("cutout")
    inside = [
        (
            (torch.arange(size, device=x.device) + 0.5) / size - torch.rand(n, 1, device=x.device)
        ).abs()
        < CUTOUT / 2
        for size in (height, width)
    ]
    cut = inside[0][:, None, :, None] & inside[1][:, None, None, :] & gate[:, None, None, None]
    return x * ~cut
