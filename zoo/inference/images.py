"""Turn image tensors into PNG files, labelled grids and animations."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoo.core.atomic import replacing
from zoo.core.errors import ZooError, at_least, listing
from zoo.data.pixels import POINT, to_uint8
from zoo.inference.plane import scatter
from zoo.registry.calls import held_to_annotations

SMALLEST = 9
"""The smallest font size in a grid, in pixels."""

__all__ = ["grid", "show", "to_pil", "to_uint8", "write_animation", "write_png"]


def to_pil(image: Tensor) -> Image.Image:
    """Convert a uint8 tensor (C, H, W) to a PIL image: gray for 1 channel, RGB for 3.

    With any other number of channels, these are placed side by side as gray images.
    """
    array = image.cpu().numpy()
    if len(array) == 3:
        return Image.fromarray(np.ascontiguousarray(array.transpose(1, 2, 0)), "RGB")
    return Image.fromarray(np.ascontiguousarray(np.concatenate(list(array), axis=1)), "L")


def write_png(image: Tensor | Image.Image, path: Path) -> Path:
    """Write a uint8 tensor (C, H, W) or a PIL image as PNG, completely or not at all.

    Raises:
        ZooError: the file cannot be written.
    """
    picture = to_pil(image) if isinstance(image, Tensor) else image
    try:
        with replacing(path, on_disk=False) as partial:
            picture.save(partial, format="PNG")
    except OSError as error:
        raise ZooError(f"cannot write the image {path}: {error.strerror or error}.") from error
    return path


def grid(
    images: Tensor,
    columns: int | None = None,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
    scale: int | None = None,
    padding: int = 2,
    modes: Tensor | None = None,
    joined: bool = False,
) -> Image.Image:
    """Arrange images in a grid, row by row, with the names of its rows and columns.

    Images of one pixel with two channels are points of the plane, and are drawn as a scatter plot
    (see `zoo.inference.plane`).

    Args:
        images: (N, C, H, W), float in [-1, 1] or uint8.
        columns: the number of images per row; None makes the grid approximately square.
        rows: the names of the rows, or none.
        heads: the names of the columns, or none.
        scale: the integer factor by which images are enlarged; None enlarges small images to about
            64 pixels.
        padding: the number of pixels between images.
        modes: for points, the centers (K, 2) of the real modes.
        joined: for points, whether to draw a line through those of each row.
    """
    if len(images) == 0:
        raise ZooError("a grid needs at least one image.")
    if images.shape[1:] == POINT:
        return scatter(images.flatten(1), columns, rows, heads, modes, joined)
    if images.is_floating_point():
        images = to_uint8(images)
    columns = columns or int(np.ceil(np.sqrt(len(images))))
    lines = -(-len(images) // columns)
    first = to_pil(images[0])
    scale = scale or max(1, 64 // first.height)
    width, height = first.width * scale, first.height * scale
    size = max(10, min(18, height // 3))
    font = ImageFont.load_default(size=size)
    left = padding + (max(int(font.getlength(str(r))) for r in rows) + 8 if rows else 0)
    top = padding + (size + 6 if heads else 0)
    canvas = Image.new(
        first.mode,
        (left + columns * (width + padding), top + lines * (height + padding)),
        255 if first.mode == "L" else (255, 255, 255),
    )
    for i, image in enumerate(images):
        picture = to_pil(image).resize((width, height), Image.Resampling.NEAREST)
        row, column = divmod(i, columns)
        canvas.paste(picture, (left + column * (width + padding), top + row * (height + padding)))
    draw = ImageDraw.Draw(canvas)
    black = 0 if first.mode == "L" else (0, 0, 0)
    for i, name in enumerate(rows[:lines]):
        middle = top + i * (height + padding) + height // 2
        draw.text((left - 6, middle), str(name), fill=black, font=font, anchor="rm")
    heads = [str(name) for name in heads[:columns]]
    while heads and size > SMALLEST and max(map(font.getlength, heads)) > width:
        size -= 1
        font = ImageFont.load_default(size=size)
    for i, name in enumerate(heads):
        middle = left + i * (width + padding) + width // 2
        text = _cut(name, font, width)
        draw.text((middle, top - 4), text, fill=black, font=font, anchor="ms")
    return canvas


def _cut(name: str, font: Any, width: int) -> str:
    """Shorten a name to `width` pixels."""
    if font.getlength(name) <= width:
        return name
    while len(name) > 1 and font.getlength(name + "…") > width:
        name = name[:-1]
    return name + "…"


def write_animation(frames: Sequence[Image.Image], path: Path, fps: float = 20) -> Path:
    """Write images of one size as an animation; GIF, WebP and PNG repeat forever.

    Args:
        frames: the images.
        path: the file to write, whose suffix selects the format: `.gif`, `.webp`, `.png` (animated
            PNG), or `.mp4`, which needs `ffmpeg`.
        fps: frames per second; at most 50 except in `.mp4`.

    Raises:
        ZooError: there are no frames, the suffix is unknown, ffmpeg is missing, or the file cannot
            be written.
    """
    kind = path.suffix.lstrip(".")
    if not frames or fps <= 0:
        raise ZooError(
            f"{path.name} needs one or more frames and fps above 0, but got fps={fps} and "
            f"{len(frames)} frames."
        )
    if kind == "mp4":
        return _write_mp4(frames, path, fps)
    if kind not in ("gif", "webp", "png"):
        raise ZooError(
            f"cannot write the animation {path.name!r}: the suffix must be gif, webp, png or mp4."
        )
    try:
        with replacing(path) as partial:
            frames[0].save(
                partial,
                format=kind,
                save_all=True,
                append_images=list(frames[1:]),
                duration=max(20, round(1000 / fps)),  # ms; browsers play shorter frames slowly
                loop=0,
                lossless=True,  # has an effect only for webp
            )
    except OSError as error:
        reason = error.strerror or error
        raise ZooError(f"cannot write the animation {path}: {reason}.") from error
    return path


def find_ffmpeg() -> str:
    """Return the path of ffmpeg, which writes mp4 files.

    Raises:
        ZooError: it is not installed.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise ZooError(
            "an mp4 needs the program ffmpeg, which is not on the PATH: install it, or use "
            "another format (gif, webp)."
        )
    return ffmpeg


def _write_mp4(frames: Sequence[Image.Image], path: Path, fps: float) -> Path:
    """Write the frames as mp4 with ffmpeg."""
    ffmpeg = find_ffmpeg()
    # H.264 in yuv420p, which every player supports, needs even sides: drop an odd row or column.
    width, height = frames[0].width // 2 * 2, frames[0].height // 2 * 2
    command = [ffmpeg, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width}x{height}", "-r", str(fps), "-i", "-", "-pix_fmt", "yuv420p"]
    command += ["-f", "mp4"]
    raw = b"".join(f.convert("RGB").crop((0, 0, width, height)).tobytes() for f in frames)
    with replacing(path) as partial:
        result = subprocess.run(
            [*command, str(partial)], input=raw, capture_output=True, check=False
        )
        if result.returncode:
            reason = result.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise ZooError(f"ffmpeg could not write {path}: {' '.join(reason)}")
    return path


@held_to_annotations("zoo.show")
def show(
    images: Tensor | Sequence[Tensor],
    columns: Annotated[int, at_least(1)] | None = None,
    rows: Sequence[str] = (),
    heads: Sequence[str] = (),
    scale: Annotated[int, at_least(1)] | None = None,
) -> Image.Image:
    """Arrange images in a grid, which a notebook displays: `zoo.show(model.sample(16, label=5))`.

    Args:
        images: (N, C, H, W), or one image (C, H, W); float in [-1, 1] or uint8.
        columns, rows, heads, scale: see `grid`.

    Returns:
        A PIL image; `.save("fives.png")` writes it to a file.

    Raises:
        ZooError: the tensors are not images, or have several sizes.
    """
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ZooError(f"zoo.show takes images of one size, but got {listing(shapes)}.")
    if isinstance(images, Tensor):
        batch = images
    else:
        batch = torch.stack(list(images)) if images else torch.zeros(0)
    if batch.dim() not in (3, 4) or not batch.numel():
        raise ZooError(
            "zoo.show takes images (N, C, H, W) or one image (C, H, W), but got the shape "
            f"{tuple(batch.shape)}."
        )
    if batch.is_floating_point() and not batch.isfinite().all():
        raise ZooError("zoo.show takes finite images, but got NaN or infinite pixels.")
    if not batch.is_floating_point() and batch.dtype != torch.uint8:
        raise ZooError(f"zoo.show takes images in [-1, 1] or uint8, but got {batch.dtype}.")
    batch = batch.detach() if batch.dim() == 4 else batch.detach()[None]
    return grid(batch, columns, rows, heads, scale)
