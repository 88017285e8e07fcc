"""Draw points of the plane as a scatter plot with axes, over the modes of the real data."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.data.pixels import to_float

SIZE = 640
"""The width and height of the plot in pixels."""
_FINER = 3  # the plot is drawn larger by this factor and then reduced, for smooth edges
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 44, 16, 32
_REACH = 1.05
_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)
MODE = (31, 119, 180)
_SERIES = (
    (217, 95, 2), (0, 158, 115), (204, 51, 117), (128, 90, 213), (140, 86, 75), (90, 90, 90),
    (188, 150, 0), (0, 140, 180), (80, 130, 20), (170, 30, 30),
)  # fmt: skip


def scatter(
    points: Tensor,
    columns: int | None = None,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
    modes: Tensor | None = None,
    joined: bool = False,
) -> Image.Image:
    """Draw markers at points (N, 2), with x to the right and y upwards.

    Args:
        points: coordinates in [-1, 1], or as uint8 levels.
        columns: the number of points in a row; None puts all points into one row.
        rows: names of the rows, each of which gets a colour; an empty name continues the row above.
        heads: names of the columns, each of which gets a colour instead; equal names share one.
        modes: the centers (K, 2) of the real modes, drawn as rings under the points.
        joined: whether to draw a line through the points of each row, each in a colour of its own.
    """
    places = to_float(points).float().cpu().tolist()
    columns = columns or max(1, len(places))
    names = _names(len(places), columns, rows, heads, joined)
    colours = {n: _SERIES[i % len(_SERIES)] for i, n in enumerate(dict.fromkeys(names))}
    canvas = Image.new("RGB", (SIZE * _FINER, SIZE * _FINER), "white")
    draw = ImageDraw.Draw(canvas)
    _axes(draw)
    if modes is not None:
        for x, y in modes.tolist():
            _circle(draw, *_pixel(x, y), 13, outline=MODE)
    inside = [_pixel(*place) for place in places]
    if joined:
        for start in range(0, len(inside), columns):
            line = [(x * _FINER, y * _FINER) for x, y in inside[start : start + columns]]
            draw.line(line, fill=colours[names[start]], width=2 * _FINER, joint="curve")
    radius = 4.0 if len(inside) <= 200 else 3.0
    for name, place in zip(names, inside, strict=True):
        _circle(draw, *place, radius, fill=colours[name], outline=(255, 255, 255))
    count = len(dict.fromkeys(names)) if joined else len(places)
    total = f"{count} {'path' if joined else 'point'}{'' if count == 1 else 's'}"
    entries = colours if rows or heads else {total: _SERIES[0]}
    _legend(draw, entries, 0 if modes is None else len(modes))
    return canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def _names(
    count: int, columns: int, rows: Sequence[str], heads: Sequence[str], joined: bool
) -> list[str]:
    """Return the name of each point's series: that of its row or its column, or an empty one."""
    if joined and not rows:
        return [f"path {i // columns + 1}" for i in range(count)]
    if rows:
        row_names = list(rows)
        for i, name in enumerate(row_names):
            row_names[i] = name or (row_names[i - 1] if i else "")
        return [row_names[min(i // columns, len(row_names) - 1)] for i in range(count)]
    if heads:
        return [heads[min(i % columns, len(heads) - 1)] for i in range(count)]
    return [""] * count


def _pixel(x: float, y: float) -> tuple[float, float]:
    """Return the position of a point in the plot; points outside are moved to its border."""
    across, down = ((min(max(v, -_REACH), _REACH) / _REACH + 1) / 2 for v in (x, -y))
    return (
        _LEFT + across * (SIZE - _LEFT - _RIGHT),
        _TOP + down * (SIZE - _TOP - _BOTTOM),
    )


def _axes(draw: ImageDraw.ImageDraw) -> None:
    """Draw the frame, the grid lines and their labels."""
    font = ImageFont.load_default(size=14 * _FINER)
    left, top = (v * _FINER for v in _pixel(-_REACH, _REACH))
    right, bottom = (v * _FINER for v in _pixel(_REACH, -_REACH))
    for tick in _TICKS:
        x, y = (v * _FINER for v in _pixel(tick, tick))
        draw.line([(x, top), (x, bottom)], fill=(228, 228, 228), width=_FINER)
        draw.line([(left, y), (right, y)], fill=(228, 228, 228), width=_FINER)
        draw.text((x, bottom + 6 * _FINER), f"{tick:g}", fill="black", font=font, anchor="mt")
        draw.text((left - 6 * _FINER, y), f"{tick:g}", fill="black", font=font, anchor="rm")
    draw.rectangle([left, top, right, bottom], outline=(90, 90, 90), width=_FINER)


def _circle(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    radius: float,
    outline: tuple[int, int, int],
    fill: tuple[int, int, int] | None = None,
) -> None:
    box = [v * _FINER for v in (x - radius, y - radius, x + radius, y + radius)]
    draw.ellipse(box, fill=fill, outline=outline, width=_FINER if fill else 2 * _FINER)


def _legend(
    draw: ImageDraw.ImageDraw, colours: dict[str, tuple[int, int, int]], modes: int
) -> None:
    """Draw the legend above the plot, with as many names as fit."""
    entries = list(colours.items())
    font = ImageFont.load_default(size=14 * _FINER)

    def width(name: str) -> float:
        return 22 + draw.textlength(name, font=font) / _FINER + 12

    label = f"{modes} real modes"
    space = SIZE - _LEFT - _RIGHT - (width(label) if modes else 0)
    while len(entries) > 1 and sum(width(name) for name, _ in entries) > space:
        entries.pop()
    x, y = float(_LEFT), _TOP / 2
    if modes:
        _circle(draw, x + 9, y, 8, outline=MODE)
        draw.text(((x + 22) * _FINER, y * _FINER), label, fill="black", font=font, anchor="lm")
        x += width(label)
    for name, colour in entries:
        _circle(draw, x + 9, y, 5, outline=(255, 255, 255), fill=colour)
        draw.text(((x + 22) * _FINER, y * _FINER), name, fill="black", font=font, anchor="lm")
        x += width(name)
